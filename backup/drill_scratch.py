"""The place of a drill: one at a time, cleared of what a killed one left, empty afterwards."""

import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from backup.lock import held
from backup.settings import BackupSettings
from storewatch.core.errors import BackupError, UsageError

_LOCK = "lock"
_SERVERS = ("postgres", "redis-server")
_END_S = 10.0


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Lend an empty folder; it is gone afterwards.

    Raises:
        BackupError: another drill is running.
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
    """End database servers whose working folder lies in a drill's folder."""
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
        if process.info["name"] not in _SERVERS:
            return False
        return Path(process.cwd()).is_relative_to(folder.resolve())
    except (psutil.Error, OSError):
        return False


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
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise BackupError(
                f"port {port} is in use{_holder(port)}; free it or set drill.port"
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
