"""Real servers on free ports for the tests of backup/: PostgreSQL, Redis, rclone's S3."""

import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from loopback import free_port

from backup.drill_redis import find_redis_server
from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user

PASSWORD = "it's:a\\secret"
BUCKET = "storewatch-backup"

SCHEMA = """
CREATE TABLE products (id bigint PRIMARY KEY, name text, price_cents bigint, stock bigint,
                       image text);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text UNIQUE,
                     state text DEFAULT 'placed', total_cents bigint,
                     created_at timestamptz DEFAULT now());
CREATE TABLE order_lines (order_id bigint REFERENCES orders, product_id bigint, quantity bigint);
CREATE TABLE notes (body text);
INSERT INTO products SELECT n, 'product ' || n, n * 100, 1000, '/images/' || n || '.svg'
FROM generate_series(1, 20) AS n;
INSERT INTO orders (key, total_cents, created_at)
SELECT 'old-' || n, n, now() - interval '1 hour' FROM generate_series(1, 500) AS n;
INSERT INTO order_lines SELECT id, 1 + id % 20, 1 FROM orders;
CREATE VIEW storewatch_invariants AS
SELECT 'stock_below_zero' AS name, count(*) AS violations FROM products WHERE stock < 0
UNION ALL SELECT 'order_without_key', count(*) FROM orders WHERE key IS NULL;
CREATE ROLE storewatch_backup LOGIN REPLICATION;
GRANT pg_monitor, pg_read_all_data, pg_checkpoint TO storewatch_backup;
"""


def until(
    true: Callable[[], object], process: subprocess.Popen[bytes], timeout_s: float = 20
) -> None:
    """Wait until a condition holds; fail when the process ends or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not true():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        raise AssertionError(f"{process.args} did not come up")


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a process with the block."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgres(home: Path) -> Iterator[int]:
    """Run a primary with SCRAM passwords; return its port."""
    programs = find_postgres(None, home / "programs")
    user = unprivileged_user()
    data, port = home / "pgdata", free_port()
    data.mkdir(mode=0o700)
    password_file = home / "password"
    password_file.write_text(PASSWORD)
    own(data, user)
    own(password_file, user)
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--no-sync",
            "--wal-segsize=1",
            "--pwfile",
            password_file,
            "--no-locale",
            "-E",
            "UTF8",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **demote_kwargs(user),
    )
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    # Settings that a restored server must not follow: they would hang or end it.
    settings |= {"archive_mode": "on", "archive_command": "exit 1", "fsync": "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [str(programs / "postgres"), "-D", str(data), *options],
        stdout=subprocess.DEVNULL,
        stderr=(home / "postgres.log").open("wb"),
        cwd="/",
        **demote_kwargs(user),
    )
    conninfo = f"host=127.0.0.1 port={port} dbname=postgres".encode()
    with ending(process):
        until(lambda: psycopg.pq.PGconn.ping(conninfo) == psycopg.pq.Ping.OK, process)
        login = {"host": "127.0.0.1", "port": port, "user": "postgres", "password": PASSWORD}
        with psycopg.connect(**login, dbname="postgres", autocommit=True) as one:
            one.execute("CREATE DATABASE shop")
        with psycopg.connect(**login, dbname="shop", autocommit=True) as one:
            one.execute(SCHEMA)
            quoted = psycopg.sql.Literal(PASSWORD)
            one.execute(psycopg.sql.SQL("ALTER ROLE storewatch_backup PASSWORD {}").format(quoted))
        yield port


@contextmanager
def redis_server(home: Path) -> Iterator[int]:
    """Run a cache with a password; return its port."""
    port = free_port()
    settings = home / "redis.conf"
    text = f'port {port}\nbind 127.0.0.1\ndir {home}\nsave ""\n'
    settings.write_text(text + 'requirepass "it\'s:a\\\\secret"\n')
    process = subprocess.Popen([find_redis_server(None), settings], stdout=subprocess.DEVNULL)
    with ending(process):
        until(lambda: accepts(port), process)
        yield port


@dataclass
class S3Server:
    """A server with one bucket over a folder; can be stopped and started again."""

    folder: Path
    port: int
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def prune_key(self) -> str:
        """The access key of the credential that prunes."""
        return f"prune-{self.access_key}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        places = [sysconfig.get_path("scripts"), os.environ["PATH"]]
        program = shutil.which("rclone", path=os.pathsep.join(places))
        assert program is not None
        (self.folder / BUCKET).mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_AUTH_KEY": ",".join(
                f'"{key},{self.secret_key}"' for key in (self.access_key, self.prune_key)
            ),
        }
        self.process = subprocess.Popen(
            [
                program,
                "serve",
                "s3",
                "--addr",
                f"127.0.0.1:{self.port}",
                str(self.folder),
                "--vfs-cache-mode",
                "off",
                "--dir-cache-time",
                "100ms",
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: accepts(self.port), self.process)

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            with ending(self.process):
                pass

    def tier(self, name: str) -> dict[str, Any]:
        """Return its section of the settings."""
        return {
            "name": name,
            "kind": "s3",
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "bucket": BUCKET,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "attempts": 1,
            "timeout": "5s",
        }


def remove(folder: Path) -> None:
    """Remove a folder that servers of another account wrote into."""
    shutil.rmtree(folder, ignore_errors=True)
