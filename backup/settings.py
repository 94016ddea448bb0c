"""The section `backup:`: what is copied, where to, and what a restore drill must show."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from backup.sources.settings import SourcesSettings
from backup.tiers.settings import TierSettings
from backup.values import NAME_FORM, Folder, Schedule
from backup.wal.settings import WalSettings
from storewatch.core.targets import Target
from storewatch.schema import Duration, Section, TargetField


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


class ProductionSettings(Section):
    """The size that a drill's recovery time is extrapolated to.

    Attributes:
        bytes: of database, cache and files together.
        wal_bytes: of WAL to replay, such as all between two base backups.
    """

    bytes: int = Field(gt=0)
    wal_bytes: int = Field(default=0, ge=0)


class ApplicationSettings(Section):
    """The application that a drill starts on the restored data.

    Attributes:
        command: argv; `python` as its first word is the Python that runs storewatch.
        environment: beside the DRILL_... variables; `{DRILL_REDIS_PORT}` in a value stands for one.
        url: answers 2xx once the application is ready; on loopback, never production.
        start_timeout: seconds that this may take.
        journeys: functions that are walked, as module:function.
    """

    command: tuple[str, ...] = Field(min_length=1)
    environment: dict[str, SecretStr] = {}
    url: str = Field(pattern=r"^http://127\.0\.0\.1:\d{1,5}(/.*)?$")
    start_timeout: Duration = 60.0
    journeys: tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...] = ()

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 80


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
        production: the size to extrapolate to; None for none.
        orders_lost_query: SQL that counts orders of production since %(until)s, the last recovered
            commit, and up to %(begun)s, when the drill began; empty for none.
        application: what is started on the restored data; None for nothing.
    """

    port: int = Field(default=18439, ge=1, le=65535)
    scratch: Folder
    targets: DrillTargets = DrillTargets()
    invariants_view: str = ""
    references: tuple[ReferenceSettings, ...] = ()
    redis_server: Folder | None = None
    start_timeout: Duration = 3600.0
    tier: str
    production: ProductionSettings | None = None
    orders_lost_query: str = ""
    application: ApplicationSettings | None = None

    @field_validator("orders_lost_query")
    @classmethod
    def _asks_since(cls, value: str) -> str:
        if value and "%(until)s" not in value:
            raise ValueError(
                "does not say since when; write SELECT count(*) FROM orders "
                "WHERE created_at > %(until)s AND created_at <= %(begun)s"
            )
        return value


class ScheduleSettings(Section):
    """When the scheduler runs what; None: only people do."""

    backup: Schedule = "24h"
    drill: Schedule = "24h"
    sabotage: Schedule = "7d"
    sync: Schedule = "1h"
    verify: Schedule = "24h"
    canary: Schedule = "24h"
    prune: Schedule = "24h"
    dump: Schedule | None = None
    failover: Schedule | None = None


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
        verify_every: seconds in which every byte of every tier is read back at least once.
    """

    subject: str = Field(default="shop", pattern=NAME_FORM)
    spool: Folder
    recipients: tuple[str, ...] = ()
    recipients_file: Folder | None = None
    identity_file: Folder
    zstd_level: int = Field(default=3, ge=1, le=19)
    minimum_free_bytes: int = Field(default=536_870_912, ge=0)
    verify_every: Duration = 30 * 86400.0
    sources: SourcesSettings
    wal: WalSettings = WalSettings()
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
        application = self.drill.application
        if application is not None and application.port == self.drill.port:
            raise ValueError(
                f"drill.application.url has the port of the restored PostgreSQL, {self.drill.port}"
                "; choose a free one"
            )
        return self
