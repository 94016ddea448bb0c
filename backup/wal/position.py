"""How far the archiver has come, in a file that survives it."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from backup.wal.names import Segment, is_history, is_segment
from storewatch.core.clock import parse_rfc3339, rfc3339
from storewatch.core.errors import BackupError
from storewatch.store.files import write_atomic

_FILE = "position.json"
_SECONDS = 32  # the upper half of a system identifier is the time of initdb


@dataclass(slots=True)
class Position:
    """What was sealed.

    Attributes:
        system_identifier, segment_bytes: of the database; empty and 0 before the first contact.
        sealed: by timeline the number of the last sealed segment.
        at: the server's clock that the last sealed segment carries.
        next_transaction: of the reading that `at` comes from.
        anew: the WAL behind the last segment is gone; go on where the slot is.
    """

    system_identifier: str = ""
    segment_bytes: int = 0
    sealed: dict[str, int] = field(default_factory=dict)
    at: str = ""
    next_transaction: int = 0
    anew: bool = False

    @classmethod
    def read(cls, folder: Path) -> "Position":
        """Read the file; a new position when there is none.

        Raises:
            BackupError: the file is damaged.
        """
        try:
            return cls(**json.loads((folder / _FILE).read_text()))
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError) as error:
            raise BackupError(
                f"{folder / _FILE} is damaged ({error}); remove it: what the tiers hold is known "
                "from them"
            ) from None

    def write(self, folder: Path) -> None:
        """Write the file, whole."""
        write_atomic(folder / _FILE, json.dumps(asdict(self)).encode())

    def belongs_to(self, system_identifier: str, segment_bytes: int, where: str) -> None:
        """Tie the position to a database; a position of another one is refused.

        Raises:
            BackupError: it belongs to another database.
        """
        if self.system_identifier and self.system_identifier != system_identifier:
            raise BackupError(
                f"{where} is system {system_identifier}; the WAL archived so far is of system "
                f"{self.system_identifier}: name another subject and another spool for a new "
                "database"
            )
        self.system_identifier, self.segment_bytes = system_identifier, segment_bytes

    @property
    def moment(self) -> datetime:
        """Return a server time that everything up to now is later than."""
        if self.at:
            return parse_rfc3339(self.at)
        return datetime.fromtimestamp(int(self.system_identifier) >> _SECONDS, UTC)

    @property
    def last(self) -> Segment | None:
        """Return the last sealed segment of the newest timeline."""
        if not self.sealed:
            return None
        timeline = max(self.sealed, key=int)
        return Segment(self.sealed[timeline], int(timeline))

    def covers(self, segment: Segment) -> bool:
        """Tell whether a segment was sealed already."""
        return self.sealed.get(str(segment.timeline), -1) >= segment.number

    def advance(self, segment: Segment, at: datetime, next_transaction: int) -> None:
        """Take note of a sealed segment."""
        known = self.sealed.get(str(segment.timeline), -1)
        self.sealed[str(segment.timeline)] = max(known, segment.number)
        self.at, self.next_transaction, self.anew = rfc3339(at), next_transaction, False


def finished_segments(folder: Path, segment_bytes: int) -> list[Segment]:
    """Return the whole segments that pg_receivewal wrote, in the order of the log."""
    names = (path.name for path in folder.iterdir() if is_segment(path.name))
    return sorted(Segment.parse(name, segment_bytes) for name in names)


def histories(folder: Path) -> list[str]:
    """Return the history files that pg_receivewal wrote."""
    return sorted(path.name for path in folder.iterdir() if is_history(path.name))
