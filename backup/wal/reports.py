"""The archiver's status as the exporter publishes it."""

from backup.settings import BackupSettings
from backup.wal.status import read_status
from storewatch.core.clock import parse_rfc3339
from storewatch.core.parts import ArchivedTier, WalArchive


class WalReports:
    """What the archiver said last; a `WalSource`."""

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings

    def archive(self) -> WalArchive | None:
        """Return its state; None when no archiver ever ran here."""
        status = read_status(self._settings)
        if status is None:
            return None
        return WalArchive(
            written_unix_s=parse_rfc3339(status.written_at).timestamp(),
            receiving=status.state == "receiving",
            broken=status.base_backup_needed,
            tiers=tuple(
                ArchivedTier(name, one.lag_s, one.lag_bytes, one.degraded)
                for name, one in status.tiers.items()
            ),
        )
