"""The part `backup.wal:`: how the write-ahead log is archived between backups."""

from pydantic import Field

from storewatch.schema import Duration, Section


class WalSettings(Section):
    """How `storewatch backup wal` works.

    Attributes:
        slot: replication slot on the primary, made when it is missing; it keeps WAL there until we
            have it, so remove it when you stop archiving for good.
        interval: a segment in which a transaction wrote is ended after this long, full or not.
        synchronous: write to disk at once and tell the primary.
    """

    slot: str = Field(default="storewatch_wal", pattern=r"^[a-z0-9_]{1,63}$")
    interval: Duration = Field(default=60.0, gt=0)
    synchronous: bool = True
