"""An archiver over a cluster of the test's own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import Server, url

from backup.keys import ensure_keys
from backup.settings import BackupSettings
from backup.wal.archiver import run_archiver
from backup.wal.names import parse_lsn
from backup.wal.status import WalStatus, read_status
from storewatch.store.evidence import EvidenceStore
from storewatch.store.unprivileged import own, unprivileged_user


@dataclass
class WalHouse:
    """One test's servers, folders and settings."""

    home: Path
    primary: Server
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> BackupSettings:
        """The typed settings of `raw`."""
        return BackupSettings.model_validate(self.raw)

    @property
    def evidence(self) -> EvidenceStore:
        """Where records go."""
        return EvidenceStore(self.home)

    @property
    def archived(self) -> Path:
        """The folder with the WAL in the tier `local`."""
        return next((self.home / "local" / "shop" / "wal").iterdir())

    def segments(self) -> list[str]:
        """The names of the segments in the tier `local`."""
        found = self.archived.rglob("*.zst.age")
        return sorted(path.name[:24] for path in found if ".history" not in path.name)

    def status(self) -> WalStatus:
        """What the archiver says."""
        found = read_status(self.settings)
        assert found is not None
        return found

    def archived_until_now(self) -> None:
        """Wait until everything committed up to now lies in every tier."""
        position = parse_lsn(self.primary.execute("SELECT pg_current_wal_lsn()::text"))

        def arrived() -> bool:
            status = self.status()
            tiers = status.tiers.values()
            here = all(one.lag_s == 0 and one.pending_files == 0 for one in tiers)
            here = here and status.node == f"127.0.0.1:{self.primary.port}"
            return here and parse_lsn(status.current_lsn) >= position

        eventually(arrived, self.status)


@contextmanager
def recovered(house: WalHouse, folder: Path, port: int) -> Iterator[Server]:
    """Start what was restored as it lies there, and wait until it takes writes."""
    data = folder / "postgres"
    folder.chmod(0o711)
    own(folder, unprivileged_user())
    server = Server(house.primary.home, data, port=port)
    with server.running(as_it_is=True):
        eventually(lambda: not server.execute("SELECT pg_is_in_recovery()"))
        yield server


def eventually(
    true: Callable[[], object], what: Callable[[], object] = str, timeout_s: float = 20
) -> None:
    """Wait until a condition holds."""
    deadline, tick = time.monotonic() + timeout_s, threading.Event()
    while True:
        try:
            if true():
                return
        except (AssertionError, ValueError, FileNotFoundError, StopIteration):
            pass
        assert time.monotonic() < deadline, what()
        tick.wait(0.05)


@contextmanager
def archiving(house: WalHouse) -> Iterator[None]:
    """Run the archiver inside the block."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run_archiver(house.settings, stop)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        assert not errors, errors


def build_wal_house(home: Path, primary: Server, *others: Server) -> WalHouse:
    """Make keys and settings in a folder, with one tier."""
    raw = {
        "spool": home / "spool",
        "recipients_file": home / "recipients.txt",
        "identity_file": home / "identity.txt",
        "minimum_free_bytes": 1_000_000,
        "zstd_level": 1,
        "sources": {"postgres": {"url": url(primary, *others), "settle": "10ms"}},
        "wal": {"interval": "1s"},
        "tiers": [{"name": "local", "kind": "folder", "path": home / "local"}],
        "drill": {"port": 1, "scratch": home / "scratch", "tier": "local"},
    }
    house = WalHouse(home, primary, raw)
    ensure_keys(house.settings)
    return house
