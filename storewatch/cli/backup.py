"""`backup`: keep copies."""

import click

from backup.backup import run_backup
from backup.catalogue import list_recovery_points
from backup.keys import ensure_keys, rotate_keys
from backup.wal.reach import broken_chains, list_reaches
from storewatch.cli.common import (
    backup_settings,
    config_option,
    end_with,
    json_option,
    parts,
    print_json,
    print_table,
    say,
)
from storewatch.cli.recovery_points import POINT_COLUMNS, point_json, point_row
from storewatch.cli.restore import COMMANDS as RESTORE_COMMANDS
from storewatch.cli.retention import COMMANDS as RETENTION_COMMANDS
from storewatch.cli.transfer import transferring


@click.group()
def backup() -> None:
    """Keep recovery points in every tier."""


for _command in (*RESTORE_COMMANDS, *RETENTION_COMMANDS):
    backup.add_command(_command)


@backup.command("run")
@json_option
@config_option
def run_(*, as_json: bool) -> None:
    """Make one recovery point, deliver it to every tier and read it back."""
    found = parts()
    with transferring() as report:
        evidence = run_backup(backup_settings(found), found.evidence, report)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@backup.command()
@click.option("--rotate", is_flag=True, help="A new pair; the old identity stays for old backups.")
@config_option
def keys(*, rotate: bool) -> None:
    """Make the age identity and the recipients file, unless they exist.

    The identity opens every backup: keep it on the drill host alone, and a copy of it in a safe.
    """
    settings = backup_settings(parts())
    recipient = rotate_keys(settings) if rotate else ensure_keys(settings)
    say(f"identity: {settings.identity_file} (0600)")
    say(f"recipient: {recipient}  ({settings.recipients_file or 'add it to backup.recipients'})")


@backup.command("list")
@json_option
@config_option
def list_(*, as_json: bool) -> None:
    """List the recovery points of all tiers, newest first, and what can be restored from each."""
    settings = backup_settings(parts())
    catalogue = list_recovery_points(settings)
    reaches = list_reaches(settings, catalogue.points)
    broken = broken_chains(catalogue.points)
    if as_json:
        points = [point_json(point, reaches, broken) for point in catalogue.points]
        print_json({"points": points, "problems": catalogue.problems})
    else:
        rows = [point_row(point, reaches, broken) for point in catalogue.points]
        print_table(POINT_COLUMNS, rows, "no recovery point; `storewatch backup run` makes one")
        for problem in catalogue.problems:
            say(problem)
    click.get_current_context().exit(1 if catalogue.problems or broken else 0)
