"""`backup wal` and `backup restore`: a recovery point close to now, and the way back to it."""

import sys
from pathlib import Path

import click
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from backup.backup import run_dump
from backup.recovery.logical import restore_dump
from backup.recovery.point_in_time import POSTGRES_FOLDER, Restored, restore_to
from backup.recovery.target import FORMS, parse_target
from backup.settings import BackupSettings
from backup.wal.archiver import run_archiver
from storewatch.cli.common import (
    backup_settings,
    config_option,
    end_with,
    json_option,
    log_to_stderr,
    parts,
    print_json,
    say,
    until_told,
)
from storewatch.cli.transfer import transferring
from storewatch.core.clock import rfc3339
from storewatch.core.errors import UsageError


@click.command()
@config_option
def wal() -> None:
    """Archive PostgreSQL's write-ahead log to every tier, until SIGTERM."""
    log_to_stderr()
    run_archiver(backup_settings(parts()), until_told())


@click.command()
@json_option
@config_option
def dump(*, as_json: bool) -> None:
    """Make one logical dump, with roles, for single tables and major upgrades."""
    found = parts()
    with transferring() as report:
        evidence = run_dump(backup_settings(found), found.evidence, report)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@click.command()
@click.option("--tier", required=True, help="Where to fetch from.")
@click.option(
    "--target", "folder", metavar="FOLDER", type=click.Path(path_type=Path), help="New or empty."
)
@click.option("--point", metavar="ID", help="Default: the newest before the target.")
@click.option("--to", metavar="TARGET", help=f"One of {FORMS}; without it the recovery point.")
@click.option("--dump", "dump_id", metavar="ID", help="A logical dump instead.")
@click.option("--table", metavar="NAME", help="With --dump: this table only.")
@click.option("--into", metavar="URL", help="With --dump: database to restore into.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the restored PostgreSQL.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@config_option
def restore(
    tier: str,
    folder: Path | None,
    point: str | None,
    to: str | None,
    port: int | None,
    dump_id: str | None,
    table: str | None,
    into: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Restore a recovery point, or any moment since, into an empty folder; nothing is started.

    With --dump: a logical dump, or one table of it, into a database that runs.
    """
    settings = backup_settings(parts())
    if dump_id is not None:
        if into is None or folder or point or to or port:
            raise UsageError("--dump goes with --into URL and --table NAME, and no other target")
        _restore_dump(settings, tier, dump_id, SecretStr(into), table, yes=yes)
        return
    if table or into:
        raise UsageError("--table and --into go with --dump ID")
    target = None if to is None else parse_target(to)
    if folder is None:
        raise UsageError("--target is missing; name a new or an empty folder")
    port = settings.drill.port if port is None else port
    folder = folder.absolute()
    _confirm(f"restore {target or point or 'the newest recovery point'} to {folder}?", yes=yes)
    with transferring() as report:
        restored = restore_to(settings, tier, folder, target, point, port, report)
    if as_json:
        print_json(_json(restored, folder, port))
        return
    manifest = restored.manifest
    say(f"recovery point {manifest.id} of {rfc3339(manifest.finished_at)} is in {folder}")
    for problem in manifest.problems:
        say(f"partial: {problem}")
    if (folder / POSTGRES_FOLDER).is_dir():
        say(
            f"start PostgreSQL with `postgres -D {folder / POSTGRES_FOLDER}` as the account that "
            f"owns it: it recovers to {target or 'the end of the backup'} and listens on "
            f"127.0.0.1:{port}"
        )


def _restore_dump(
    settings: BackupSettings,
    tier: str,
    identifier: str,
    into: SecretStr,
    table: str | None,
    *,
    yes: bool,
) -> None:
    try:
        parts_of_url = conninfo_to_dict(into.get_secret_value())
    except ProgrammingError:
        parts_of_url = {}
    database = parts_of_url.get("dbname")
    if not database:
        raise UsageError("--into is no URL of a database; write postgresql://role@host:5432/name")
    _confirm(f"restore {table or 'everything'} of {identifier} into {database}?", yes=yes)
    with transferring() as report:
        restore_dump(settings, tier, identifier, into, table, report)
    say(f"{table or 'everything'} of {identifier} is in {database}")


def _confirm(question: str, *, yes: bool) -> None:
    """Ask a person; a script says --yes.

    Raises:
        UsageError: nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} give --yes, nobody can be asked here")
    click.confirm(question, abort=True, err=True)


def _json(restored: Restored, folder: Path, port: int) -> dict[str, object]:
    return {
        "id": restored.manifest.id,
        "target": str(restored.target) if restored.target else None,
        "folder": str(folder),
        "wal_segments": restored.segments,
        "timeline": restored.timeline,
        "port": port,
        "problems": list(restored.manifest.problems),
    }


COMMANDS = (restore, wal, dump)
"""What the group `backup` gets from here."""
