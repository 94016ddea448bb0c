"""What a restored recovery point must show. Each check is one line with a name and a verdict."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from backup.errors import one_line
from backup.settings import ReferenceSettings
from backup.sources.postgres import newest
from backup.tables import TableRecord, identifier, measure, same_text_everywhere
from storewatch.core.clock import parse_rfc3339

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it is as it must be.
        detail: the numbers, or what is wrong.
        rows: rows whose count and checksum were compared and equal.
    """

    name: str
    ok: bool
    detail: str
    rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the check for the artefact."""
        return asdict(self)


def check_files_of_backup(data: Path, programs: Path) -> Check:
    """Let pg_verifybackup compare every file and the WAL with PostgreSQL's own backup manifest."""
    result = subprocess.run(
        [str(programs / "pg_verifybackup"), "--quiet", str(data)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = (result.stdout + result.stderr).strip().splitlines()
    if result.returncode == 0:
        return Check("pg_verifybackup", True, "every file and the WAL as PostgreSQL sent them")
    return Check("pg_verifybackup", False, "; ".join(lines[:_NAMED_AT_MOST]) or "failed")


def check_structure(connection: psycopg.Connection[Any], programs: Path, database: str) -> Check:
    """Let pg_amcheck look at every table and index, and at every row's place in its indexes.

    It works as the superuser that initdb made (oid 10) and installs its extension where it lacks;
    both are the restored server's own business.
    """
    row = connection.execute("SELECT rolname FROM pg_roles WHERE oid = 10").fetchone()
    assert row is not None
    info = connection.info
    result = subprocess.run(
        [
            str(programs / "pg_amcheck"),
            f"--host={info.host}",
            f"--port={info.port}",
            f"--username={row[0]}",
            "--no-password",
            "--install-missing",
            "--heapallindexed",
            database,
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
    )
    if result.returncode == 0:
        return Check("pg_amcheck", True, "every table and index is sound")
    lines = (result.stdout + result.stderr).strip().splitlines()
    return Check("pg_amcheck", False, "; ".join(lines[:_NAMED_AT_MOST]) or "failed")


def check_recovery(connection: psycopg.Connection[Any], facts: dict[str, Any]) -> Check:
    """Compare system, and the WAL position that was reached, with the manifest."""
    row = connection.execute(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery(), "
        "pg_last_wal_replay_lsn()::text, pg_last_wal_replay_lsn() >= %s::pg_lsn",
        (facts["stop_lsn"],),
    ).fetchone()
    assert row is not None
    system, recovering, reached, far_enough = row
    if system != facts["system_identifier"]:
        detail = f"system {system} instead of {facts['system_identifier']}"
    elif recovering or not far_enough:
        detail = f"WAL was replayed to {reached}; the backup ends at {facts['stop_lsn']}"
    else:
        return Check("WAL replayed", True, f"to {reached}, the backup ends at {facts['stop_lsn']}")
    return Check("WAL replayed", False, detail)


def replayed_until(connection: psycopg.Connection[Any], facts: dict[str, Any]) -> datetime:
    """Return the moment up to which everything committed is certainly there.

    The later of the last replayed commit and the backup's own snapshot, which is contained.
    """
    row = connection.execute("SELECT pg_last_xact_replay_timestamp()").fetchone()
    snapshot_at = parse_rfc3339(facts["snapshot_at"])
    return max(snapshot_at, row[0]) if row and row[0] else snapshot_at


def replayed_bytes(connection: psycopg.Connection[Any], facts: dict[str, Any]) -> int:
    """Return the bytes of WAL between the backup's start and the end of the replay."""
    row = connection.execute(
        "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), %s::pg_lsn)", (facts["start_lsn"],)
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def check_tables(connection: psycopg.Connection[Any], facts: dict[str, Any]) -> Iterator[Check]:
    """Compare rows and checksum of each recorded table; exact equality."""
    same_text_everywhere(connection)
    boundary = datetime.fromisoformat(facts["boundary"])
    for raw in facts["tables"]:
        recorded = TableRecord.from_json(raw)
        name = f"table {recorded.name}"
        try:
            found = measure(
                connection,
                recorded.name,
                recorded.columns,
                recorded.settled_by,
                recorded.parent,
                boundary,
            )
        except psycopg.Error as error:
            yield Check(name, False, one_line(error))
            continue
        if found == recorded:
            yield Check(name, True, f"{found.rows} rows, checksum equal", found.rows)
        else:
            yield Check(
                name,
                False,
                f"{found.rows} rows, checksum {found.checksum}; the backup recorded "
                f"{recorded.rows} rows, checksum {recorded.checksum}",
            )


def check_newest(
    connection: psycopg.Connection[Any], query: str, facts: dict[str, Any]
) -> Iterator[Check]:
    """See that the newest order recorded by the backup is there (or a newer one)."""
    recorded = facts.get("newest_at")
    if not query or recorded is None:
        return
    found = newest(connection, query)
    ok = found is not None and parse_rfc3339(found) >= parse_rfc3339(recorded)
    yield Check("newest order", ok, f"{found}; the backup recorded {recorded}")


def check_invariants(connection: psycopg.Connection[Any], view: str) -> Iterator[Check]:
    """See that no invariant of the shop is violated."""
    if not view:
        return
    statement = sql.SQL("SELECT name, violations FROM {} ORDER BY name").format(identifier(view))
    try:
        rows = connection.execute(statement).fetchall()
    except psycopg.Error as error:
        yield Check("invariants", False, one_line(error))
        return
    broken = [f"{name}: {count}" for name, count in rows if count]
    if not rows:
        yield Check("invariants", False, f"{view} has no rows")
    else:
        detail = ", ".join(broken) or f"{len(rows)} invariants hold"
        yield Check("invariants", not broken, detail)


def read_listing(listing: Path) -> dict[str, str]:
    """Return path -> SHA-256 of a listing in the form of sha256sum."""
    lines = listing.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def check_listing(folder: Path, listing: dict[str, str]) -> Check:
    """Compare every restored file with the hash that the backup read."""
    wrong = [path for path, digest in listing.items() if _hash_or_none(folder / path) != digest]
    if wrong:
        return Check(f"files {folder.name}", False, f"missing or altered: {_some(wrong)}")
    return Check(f"files {folder.name}", True, f"{len(listing)} files, all hashes equal")


def check_references(
    connection: psycopg.Connection[Any],
    reference: ReferenceSettings,
    folder: Path,
    listing: dict[str, str],
) -> Check:
    """See that every file the database refers to was restored with the recorded hash."""
    name = f"references to {reference.files}"
    try:
        rows = connection.execute(reference.query.encode()).fetchall()
    except psycopg.Error as error:
        return Check(name, False, one_line(error))
    paths = [str(row[0]).removeprefix(reference.strip) for row in rows if row[0]]
    missing = [path for path in paths if path not in listing or not (folder / path).is_file()]
    if missing:
        return Check(name, False, f"{len(missing)} of {len(paths)} are missing: {_some(missing)}")
    return Check(name, bool(paths), f"{len(paths)} referenced files are there")


def _hash_or_none(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
