"""What a restore is to reach: the end of the archive, a time, an LSN, a name or a transaction."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backup.wal.names import format_lsn, parse_lsn
from storewatch.core.clock import parse_rfc3339
from storewatch.core.errors import UsageError

FORMS = (
    "latest, a time such as 2026-11-22T01:02:03Z, LSN:0/3000028, NAME:before-upgrade or XID:4711"
)


class Kind(StrEnum):
    """How a target is given."""

    LATEST = "latest"
    TIME = "time"
    LSN = "lsn"
    NAME = "name"
    XID = "xid"


@dataclass(frozen=True, slots=True)
class RecoveryTarget:
    """One target.

    Attributes:
        kind: which of the others counts.
        at: every transaction committed by then.
        position: everything that lies before it in the log.
        name: of a restore point (pg_create_restore_point).
        transaction: up to its end, inclusive.
    """

    kind: Kind
    at: datetime | None = None
    position: int = 0
    name: str = ""
    transaction: int = 0

    def __str__(self) -> str:
        if self.kind == Kind.TIME:
            assert self.at is not None
            return self.at.isoformat()
        if self.kind == Kind.LSN:
            return f"LSN {format_lsn(self.position)}"
        if self.kind == Kind.NAME:
            return f"restore point {self.name}"
        return f"transaction {self.transaction}" if self.kind == Kind.XID else "latest"


def parse_target(text: str) -> RecoveryTarget:
    """Read what stands behind `--to`.

    Raises:
        UsageError: it is none of the forms.
    """
    kind, colon, value = text.partition(":")
    try:
        if text == "latest":
            return RecoveryTarget(Kind.LATEST)
        if kind == "LSN":
            return RecoveryTarget(Kind.LSN, position=parse_lsn(value))
        if kind == "NAME" and value and len(value.encode()) < 64 and value.isprintable():
            return RecoveryTarget(Kind.NAME, name=value)
        if kind == "XID" and value.isdecimal() and int(value) >= 3:
            return RecoveryTarget(Kind.XID, transaction=int(value))
        if kind not in ("NAME", "XID") and colon:
            return RecoveryTarget(Kind.TIME, at=parse_rfc3339(text))
    except ValueError:
        pass
    raise UsageError(f"--to {text!r} is no target; use {FORMS}")
