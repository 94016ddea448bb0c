"""Restore a logical dump, or one table of it, into a database that runs."""

import subprocess
import tempfile
from pathlib import Path

from pydantic import SecretStr

from backup.catalogue import read_manifest
from backup.keys import load_identity
from backup.manifest import LOGICAL, Manifest
from backup.progress import Progress, silent
from backup.restore import Times, place_of, restore_object
from backup.settings import BackupSettings
from backup.sources.dump import NAME
from backup.sources.postgres_login import last_line, login_environment, program_conninfo
from backup.tiers.registry import open_tier
from storewatch.core.errors import BackupError, UsageError
from storewatch.store.postgres_programs import find_postgres


def restore_dump(
    settings: BackupSettings,
    tier: str,
    identifier: str,
    into: SecretStr,
    table: str | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Bring a dump, or one table with its rows, into a database; all of it or nothing.

    A table comes without indexes, constraints and triggers, as `pg_restore --table` has it. What is
    there already is never replaced: the restore fails then.

    Args:
        settings: of the package.
        tier: where to fetch from.
        identifier: of the dump.
        into: libpq URL of the database.
        table: `table` or `schema.table`; None for everything.
        progress: told of bytes.

    Raises:
        UsageError: the id is no logical dump.
        BackupError: it is missing or damaged, or pg_restore fails; the line says why.
    """
    identity = load_identity(settings.identity_file)
    opened = open_tier(settings, tier)
    manifest = read_manifest(opened, settings.subject, identifier)
    if manifest.kind != LOGICAL:
        raise UsageError(f"{identifier} is no logical dump; `storewatch backup list` shows kinds")
    record = manifest.record(manifest.sources[NAME]["object"])
    source = settings.sources.postgres
    programs = find_postgres(source.bin if source else None, settings.programs_cache)
    root = settings.drill.scratch.parent
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dump-", dir=root) as name:
        folder = Path(name)
        restore_object(opened, manifest, record, folder, identity, Times(), progress)
        progress("pg_restore", 0, None)
        _pg_restore(programs / "pg_restore", place_of(record, folder), folder, into, table)
    return manifest


def _pg_restore(
    program: Path, dump: Path, folder: Path, into: SecretStr, table: str | None
) -> None:
    if table is not None:
        listed = _listed(program, dump)
        schema, _dot, name = table.rpartition(".")
        if not any(one[1] == name and schema in ("", one[0]) for one in listed):
            known = ", ".join(sorted(f"{one[0]}.{one[1]}" for one in listed)) or "none"
            raise UsageError(f"the dump has no table {table}; it has {known}")
    schema, _dot, name = (table or "").rpartition(".")
    messages = folder / "pg_restore.log"
    with login_environment(into, folder) as environment, messages.open("wb") as stderr:
        code = subprocess.call(
            [
                str(program),
                f"--dbname={program_conninfo(into)}",
                "--no-password",
                "--no-owner",
                "--no-privileges",
                "--exit-on-error",
                "--single-transaction",
                *([f"--table={name}"] if table else []),
                *([f"--schema={schema}"] if schema else []),
                str(dump),
            ],
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
    if code:
        raise BackupError(f"restore: {last_line(messages, 'pg_restore')}")


def _listed(program: Path, dump: Path) -> list[tuple[str, str]]:
    """Return schema and name of the tables that a dump holds."""
    done = subprocess.run(
        [str(program), "--list", str(dump)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackupError(f"restore: {(done.stderr.strip().splitlines() or ['no list'])[-1]}")
    found = []
    for line in done.stdout.splitlines():
        words = line.split()
        if words[3:5] == ["TABLE", "DATA"]:
            found.append((words[5], words[6]))
    return found
