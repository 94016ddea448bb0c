"""Backup and restore of 5 GB of orders: ours beside what one would type, on the same disk."""

import contextlib
import functools
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from backup.backup import run_backup
from backup.keys import ensure_keys
from backup.recovery.point_in_time import restore_to
from backup.settings import BackupSettings
from benchmarks.figure import Figure
from benchmarks.ports import free_port
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore
from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user
from storewatch.tools import find_program

_GIGABYTES = 5
_LEVEL = 3
_ROUNDS = range(2)
_LOOK_EVERY_S = 0.5  # at the memory; oftener, and looking slows down what is looked at
_SEED = "2026-11"
_PEER = "pg_basebackup | zstd"
_PEER_RESTORE = "zstd -d | tar"
_MEGABYTE = 1e6
_CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
shared_buffers = '256MB'
max_wal_size = '8GB'
fsync = off
synchronous_commit = off
autovacuum = off
"""
# Shaped as a shop's rows are: numbers that grow, few states, text of words and of hashes. About
# 240 bytes a row with its key.
_ROWS_PER_GIGABYTE = 4_400_000
_DATA = """
CREATE TABLE orders AS SELECT n AS id, (n * 7919) % 500000 AS user_id,
  (ARRAY['placed', 'paid', 'shipped', 'delivered', 'cancelled'])[1 + n % 5] AS state,
  (n * 104729) % 100000 AS total_cents, md5('{seed}' || n) AS idempotency_key,
  timestamptz '2026-01-01' + n * interval '1 second' AS created_at,
  'parcel ' || n % 977 || ' for house ' || n % 331 || ', ' || md5('{seed} to ' || n / 3) AS note
FROM generate_series(1::bigint, {rows}) AS n;
ALTER TABLE orders ADD PRIMARY KEY (id);
CHECKPOINT;
"""


@dataclass(frozen=True, slots=True)
class _Site:
    """A running database, a place to write to, and the file with the settings of our backup."""

    folder: Path
    url: str
    programs: Path
    data_bytes: int
    file: Path


@dataclass(frozen=True, slots=True)
class _Run:
    """One way to copy or restore: the best of its rounds."""

    seconds: float
    cpu_s: float
    peak_bytes: int


def backup_throughput_ratio() -> Figure:
    """Measure a whole `backup run` into a folder, its reading back included."""
    ours, peer, data_bytes = _measured()[:3]
    return Figure(
        "backup_throughput_ratio", data_bytes / ours.seconds / _MEGABYTE, "MB/s",
        _PEER, data_bytes / peer.seconds / _MEGABYTE, Target(">=", 0.9),
    )  # fmt: skip


def restore_throughput_ratio() -> Figure:
    """Measure a restore from a folder, verified and decrypted."""
    data_bytes, ours, peer = _measured()[2:]
    return Figure(
        "restore_throughput_ratio", data_bytes / ours.seconds / _MEGABYTE, "MB/s",
        _PEER_RESTORE, data_bytes / peer.seconds / _MEGABYTE, Target(">=", 0.9),
    )  # fmt: skip


def backup_rss_peak_bytes() -> Figure:
    """Measure the memory of a backup or restore, its programs included, whichever takes more."""
    ours, peer, _, restored, _ = _measured()
    peak = max(ours.peak_bytes, restored.peak_bytes)
    return Figure(
        "backup_rss_peak_bytes", peak, "bytes",
        _PEER, peer.peak_bytes, Target("<=", 250e6), absolute=True,
    )  # fmt: skip


def backup_cpu_s_per_gb() -> Figure:
    """Measure the CPU time of a backup, without the database server's."""
    ours, peer, data_bytes = _measured()[:3]
    gigabytes = data_bytes / 1e9
    return Figure(
        "backup_cpu_s_per_gb", ours.cpu_s / gigabytes, "s/GB",
        _PEER, peer.cpu_s / gigabytes, Target("<=", 2.0),
    )  # fmt: skip


@functools.cache
def _measured() -> tuple[_Run, _Run, int, _Run, _Run]:
    """Copy and restore in turn with the peer; the fastest round of each counts."""
    with _site() as site:
        base, out = site.folder / "base.tar.zst", site.folder / "out"
        copied = [(_run(_peer_backup(site, base)), _run(_ours(site, "backup"))) for _ in _ROUNDS]
        restored = []
        for _ in _ROUNDS:
            out.mkdir()
            untarred = _run(_peer_restore(base, out))
            shutil.rmtree(out)
            restored.append((untarred, _run(_ours(site, "restore"))))
            shutil.rmtree(out)
        return (*_fastest(copied), site.data_bytes, *_fastest(restored))


def _fastest(rounds: list[tuple[_Run, _Run]]) -> tuple[_Run, _Run]:
    """Return ours and the peer's."""
    peers, ours = zip(*rounds, strict=True)
    return min(ours, key=lambda run: run.seconds), min(peers, key=lambda run: run.seconds)


def _peer_backup(site: _Site, file: Path) -> list[str]:
    command = (
        f"{site.programs}/pg_basebackup --dbname={site.url!r} --pgdata=- --format=tar"
        f" --wal-method=fetch --checkpoint=fast | {find_program('zstd')} -q -{_LEVEL} -f -o {file}"
    )
    return ["sh", "-c", f"{command} && sync {file}"]


def _peer_restore(file: Path, folder: Path) -> list[str]:
    return [
        "sh",
        "-c",
        f"{find_program('zstd')} -q -dc {file} | tar -x -C {folder} && sync -f {folder}",
    ]


def _ours(site: _Site, what: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.backup", what, str(site.file)]


def _run(argv: list[str]) -> _Run:
    """Run a command; its memory is that of all its processes at one time, pages shared once."""
    peak_bytes = 0
    before, begun = _children_cpu_s(), time.monotonic()
    with subprocess.Popen(argv) as child:
        watched = psutil.Process(child.pid)
        while child.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                family = [watched, *watched.children(recursive=True)]
                peak_bytes = max(peak_bytes, sum(_own_bytes(one) for one in family))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_LOOK_EVERY_S)
    if child.returncode:
        raise RuntimeError(f"{argv[-1]} ended with {child.returncode}")
    return _Run(time.monotonic() - begun, _children_cpu_s() - before, peak_bytes)


def _own_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _site() -> Iterator[_Site]:
    """Run a database with the data, and write the settings of a backup of it."""
    user = unprivileged_user()
    with tempfile.TemporaryDirectory(prefix="storewatch-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        programs = find_postgres(None, folder / "programs")
        data, port = folder / "data", free_port()
        data.mkdir()
        own(data, user)
        quiet = {"stdout": subprocess.DEVNULL, "cwd": data, **demote_kwargs(user)}
        argv = [
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
        ]
        subprocess.run(argv, check=True, **quiet)
        (data / "postgresql.auto.conf").write_text(_CONFIG.format(port=port))
        log = (folder / "postgres.log").open("wb")
        with log, subprocess.Popen([programs / "postgres", "-D", data], stderr=log, **quiet) as run:
            try:
                yield _filled(folder, f"postgresql://postgres@127.0.0.1:{port}/postgres", programs)
            finally:
                run.send_signal(signal.SIGINT)


def _filled(folder: Path, url: str, programs: Path) -> _Site:
    """Fill the database and return everything that is needed to copy it."""
    with _connected(url) as connection:
        rows = _GIGABYTES * _ROWS_PER_GIGABYTE
        connection.execute(_DATA.format(seed=_SEED, rows=rows).encode())
        row = connection.execute("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
        data_bytes = int((row.fetchone() or (0,))[0])
    file = folder / "backup.json"
    content = {
        "spool": f"{folder}/spool",
        "recipients_file": f"{folder}/recipients.txt",
        "identity_file": f"{folder}/identity.txt",
        "zstd_level": _LEVEL,
        "sources": {"postgres": {"url": url}},
        "tiers": [{"name": "local", "kind": "folder", "path": f"{folder}/local"}],
        "drill": {"tier": "local", "scratch": f"{folder}/scratch"},
    }
    file.write_text(json.dumps(content))
    ensure_keys(BackupSettings.model_validate(content))
    return _Site(folder, url, programs, data_bytes, file)


def _connected(url: str) -> psycopg.Connection[Any]:
    """Connect as soon as the server answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return psycopg.connect(url, autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main(what: str, file: str) -> None:
    """Make one backup, or restore the newest one, as `storewatch backup` does."""
    path = Path(file)
    settings = BackupSettings.model_validate_json(path.read_text())
    if what == "restore":
        restore_to(settings, "local", path.parent / "out")
    else:
        evidence = run_backup(settings, EvidenceStore(path.parent / "evidence"))
        if evidence.verdict is not Verdict.PASS:
            raise SystemExit("; ".join(evidence.notes))


if __name__ == "__main__":
    main(*sys.argv[1:])
