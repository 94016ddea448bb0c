"""A PostgreSQL cluster of a test's own: primary and standby that can be stopped and promoted."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from backup_engines import ending, until
from loopback import free_port

from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user

SCHEMA = """
CREATE TABLE marks (n bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE orders (id bigint PRIMARY KEY, body text);
INSERT INTO orders SELECT n, repeat('x', 200) FROM generate_series(1, 2000) AS n;
"""
ROLE = Path(__file__).parents[2] / "backup" / "sql" / "backup_role.sql"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "autovacuum": "off",
    "wal_keep_size": "64MB",
    "max_wal_size": "64MB",
    "min_wal_size": "4MB",
    "summarize_wal": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
}


def programs(home: Path) -> Path:
    """Return PostgreSQL's own programs."""
    return find_postgres(None, home / "programs")


def run(*words: object) -> str:
    """Run a program as the account of the servers; return what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        **demote_kwargs(unprivileged_user()),
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def make_template(home: Path) -> Path:
    """Make a cluster once; tests start copies of it."""
    data = home / "template"
    bin_folder = programs(home)
    data.mkdir(mode=0o700)
    own(data, unprivileged_user())
    run(
        bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync",
        "--wal-segsize=1", "--no-locale", "-E", "UTF8",
    )  # fmt: skip
    with Server(home, data).running() as server:
        server.execute("CREATE DATABASE shop", dbname="postgres")
        server.execute(SCHEMA + ROLE.read_text())
    return data


@dataclass
class Server:
    """One data folder, up or down."""

    home: Path
    data: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, *, as_it_is: bool = False) -> None:
        """Start it and wait until it answers; `as_it_is` with its own settings."""
        options = {**_SETTINGS, **self.settings, "port": self.port}
        if as_it_is:
            options = {"unix_socket_directories": "", "fsync": "off"}
        words = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.data.with_name(f"{self.data.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(programs(self.home) / "postgres"), "-D", str(self.data), *words],
                stdout=log,
                stderr=log,
                cwd="/",
                **demote_kwargs(unprivileged_user()),
            )
        self.process = self._stack.enter_context(ending(process))
        conninfo = f"host=127.0.0.1 port={self.port} dbname=postgres".encode()
        until(lambda: psycopg.pq.PGconn.ping(conninfo) == psycopg.pq.Ping.OK, process)

    def stop(self) -> None:
        """Stop it, fast."""
        if self._stack:
            self.process.send_signal(2)
        self._stack.close()

    @contextmanager
    def running(self, *, as_it_is: bool = False) -> "Iterator[Server]":
        """Keep it up inside the block."""
        self.start(as_it_is=as_it_is)
        try:
            yield self
        finally:
            self.stop()

    def connect(self, dbname: str = "shop") -> psycopg.Connection[Any]:
        """Connect as superuser."""
        return psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname={dbname}", autocommit=True
        )

    def execute(self, query: str, dbname: str = "shop") -> Any:
        """Run SQL; return the first value of its last row, if there is one."""
        with self.connect(dbname) as one:
            found = one.execute(query.encode())
            return found.fetchall()[-1][0] if found.description else None

    def mark(self, number: int) -> None:
        """Commit a row that later shows which moment this is."""
        with self.connect() as one:
            one.execute("INSERT INTO marks (n) VALUES (%s)", (number,))

    def marks(self) -> list[int]:
        """Return the rows that are there."""
        with self.connect() as one:
            return [row[0] for row in one.execute("SELECT n FROM marks ORDER BY n").fetchall()]

    def standby(self, name: str) -> "Server":
        """Make a standby; it is not started."""
        data = self.data.with_name(name)
        data.mkdir(mode=0o700)
        own(data, unprivileged_user())
        run(
            programs(self.home) / "pg_basebackup", "-D", data, "-R", "-X", "stream",
            "--checkpoint=fast", "--no-sync", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres",
        )  # fmt: skip
        return Server(self.home, data, settings=dict(self.settings))

    def promote(self) -> None:
        """Make a standby the primary and wait for it."""
        self.execute("SELECT pg_promote(true, 20)", dbname="postgres")


def copy_of(template: Path, home: Path, name: str = "a") -> Server:
    """Return a server on a copy of the template; it is not started."""
    data = home / name
    shutil.copytree(template, data)
    data.chmod(0o700)
    own(data, unprivileged_user())
    return Server(template.parent, data)


def url(*servers: Server) -> str:
    """Return the URL for backups, with every node."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://storewatch_backup@{hosts}/shop?target_session_attrs=read-write"
