"""What the WAL archiver says of itself, in a file that everybody may read at any moment.

`<spool>/wal/status.json`:

- `written_at`: by the backup host's clock; a file that is older than a minute has no archiver.
- `state`: `receiving`, `waiting` (no primary, or the connection broke), `full` (the spool has no
  room; the primary keeps the WAL), `stopped`.
- `node`, `system_identifier`, `timeline`, `slot`: what is archived; empty before the first contact.
- `last_segment`, `last_segment_at`: the last one sealed, and the server's clock before it ended.
- `current_lsn`: where the server writes.
- `tiers`: by name `last_segment`, `last_segment_at`, `pending_files`, `pending_bytes`,
  `lag_s` (age of the oldest transaction that the tier lacks; 0 when it lacks none; null before the
  first contact), `lag_bytes`, `degraded`, `error` (empty when all is well), `refused` (files that
  the tier holds with other bytes).
- `gaps`: WAL that exists nowhere any more: `timeline`, `after` and `before` (segment names).
- `base_backup_needed`: a gap lies behind the newest base backup; only a new one closes it.
- `errors`: one line each, of now.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backup.settings import BackupSettings
from storewatch.core.clock import rfc3339, utc_now
from storewatch.store.files import write_atomic

FILE_NAME = "status.json"


@dataclass(slots=True)
class TierStatus:
    """One tier; see the module."""

    last_segment: str = ""
    last_segment_at: str | None = None
    pending_files: int = 0
    pending_bytes: int = 0
    lag_s: float | None = None
    lag_bytes: int | None = None
    degraded: bool = False
    error: str = ""
    refused: list[str] = field(default_factory=list)


@dataclass(slots=True)
class WalStatus:
    """The archiver; see the module."""

    written_at: str = ""
    state: str = "waiting"
    node: str = ""
    system_identifier: str = ""
    timeline: int | None = None
    slot: str = ""
    last_segment: str = ""
    last_segment_at: str | None = None
    current_lsn: str = ""
    tiers: dict[str, TierStatus] = field(default_factory=dict)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    base_backup_needed: bool = False
    errors: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write the file, whole."""
        self.written_at = rfc3339(utc_now())
        write_atomic(folder / FILE_NAME, (json.dumps(asdict(self), indent=2) + "\n").encode())


def wal_folder(settings: BackupSettings) -> Path:
    """Return the archiver's part of the spool."""
    return settings.spool / "wal"


def read_status(settings: BackupSettings) -> WalStatus | None:
    """Return what the archiver said last; None when none ever ran here, or the file is damaged."""
    try:
        raw = json.loads((wal_folder(settings) / FILE_NAME).read_text())
        tiers = {name: TierStatus(**one) for name, one in raw.pop("tiers").items()}
        return WalStatus(**raw, tiers=tiers)
    except (OSError, ValueError, TypeError, KeyError):
        return None
