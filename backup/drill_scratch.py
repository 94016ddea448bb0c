"""The place of a drill: one at a time, cleared of what a killed one left, empty afterwards."""

import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from backup.settings import BackupSettings
from storewatch.core.errors import BackupError, UsageError
from storewatch.store.lock import held

_LOCK = "lock"
_SERVERS = ("postgres", "redis-server")
_END_S = 10.0
APPLICATION = "application"
"""Folder of a drill in which the application works; whatever works there belongs to the drill."""


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Lend an empty folder; it is gone afterwards.

    Raises:
        BusyError: another drill is running.
    """
    root.mkdir(parents=True, exist_ok=True)
    with held(root / _LOCK, "a restore drill"):
        for leftover in root.iterdir():
            if leftover.name != _LOCK:
                end_servers_in(leftover)
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        folder = Path(tempfile.mkdtemp(prefix="drill-", dir=root))
        folder.chmod(0o711)  # the server's account passes through; the data folder is its own
        try:
            yield folder
        finally:
            end_servers_in(folder)
            shutil.rmtree(folder)


def end_servers_in(folder: Path) -> None:
    """End the servers and applications whose working folder lies in a drill's folder."""
    found = [process for process in psutil.process_iter(["name"]) if _works_in(process, folder)]
    for process in found:
        try:
            # A postmaster takes SIGQUIT as immediate shutdown and ends its children.
            process.send_signal(signal.SIGQUIT)
        except psutil.NoSuchProcess:
            continue
    _gone, alive = psutil.wait_procs(found, timeout=_END_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_END_S)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        place = Path(process.cwd())
        if not place.is_relative_to(folder.resolve()):
            return False
        inside = place.relative_to(folder.resolve())
        return process.info["name"] in _SERVERS or APPLICATION in inside.parts[:1]
    except (psutil.Error, OSError):
        return False


def bytes_below(folder: Path) -> int:
    """Return the bytes of the files in a folder and below it; one with two names counts once."""
    states = (one.lstat() for one in folder.rglob("*") if not one.is_dir())
    return sum({one.st_ino: one.st_size for one in states}.values())


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse_busy_port(settings: BackupSettings) -> None:
    """Make sure that the restored server gets a port of its own.

    Raises:
        UsageError: the port is one of production.
        BackupError: something listens there.
    """
    port = settings.drill.port
    postgres = settings.sources.postgres
    if postgres is not None and port in postgres.ports():
        raise UsageError(f"drill.port {port} is a port of production; choose a free one")
    refuse_held(port, "drill.port")


def refuse_held(port: int, key: str) -> None:
    """Make sure that nobody listens on a port.

    Raises:
        BackupError: somebody does; the key of the settings is named.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise BackupError(
                f"port {port} is in use{_holder(port)}; free it or set {key}"
            ) from None


def _holder(port: int) -> str:
    try:
        for one in psutil.net_connections("tcp"):
            listens = one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
            if listens and one.pid:
                return f" by {psutil.Process(one.pid).name()} (pid {one.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
