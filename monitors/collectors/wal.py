"""How far the WAL archive is behind the database, by tier."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from monitors.families import gauge, value
from storewatch.core.parts import WalSource

_UP = "Whether the state of the WAL archive is known."


class WalCollector:
    """What the WAL archiver says of itself; nothing where none ever ran."""

    name = "wal"

    def __init__(self, source: WalSource, timeout_s: float = 1.5) -> None:
        self.timeout_s = timeout_s
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Publish the newest state."""
        archive = self._source.archive()
        if archive is None:
            return
        yield value("storewatch_wal_archive_up", _UP, 1)
        yield value(
            "storewatch_wal_archive_timestamp_seconds",
            "Unix time at which the archiver last said how it is.",
            archive.written_unix_s,
        )
        yield value(
            "storewatch_wal_archive_receiving",
            "Whether WAL comes from the database.",
            float(archive.receiving),
        )
        yield value(
            "storewatch_wal_archive_broken",
            "Whether WAL is missing after the newest base backup.",
            float(archive.broken),
        )
        yield gauge(
            "storewatch_wal_archive_lag_seconds",
            "Age of the oldest transaction that the tier lacks.",
            [({"tier": one.name}, one.lag_s) for one in archive.tiers if one.lag_s is not None],
        )
        yield gauge(
            "storewatch_wal_archive_lag_bytes",
            "WAL that the tier lacks.",
            [
                ({"tier": one.name}, float(one.lag_bytes))
                for one in archive.tiers
                if one.lag_bytes is not None
            ],
        )
        yield gauge(
            "storewatch_wal_archive_degraded",
            "Whether the tier refuses or lacks WAL that others have.",
            [({"tier": one.name}, float(one.degraded)) for one in archive.tiers],
        )

    def down(self) -> Iterable[Metric]:
        """Say that the state cannot be read."""
        yield value("storewatch_wal_archive_up", _UP, 0)
