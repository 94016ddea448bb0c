"""`backup` and `drill`: keep copies, and show that they restore."""

import click

from backup.backup import run_backup
from backup.catalogue import list_recovery_points, verify
from backup.drill import run_drill
from backup.settings import BackupSettings
from storewatch.cli.common import (
    config_option,
    end_with,
    json_option,
    parts,
    print_json,
    print_table,
    reporting,
    say,
)
from storewatch.core.clock import rfc3339
from storewatch.core.errors import UsageError
from storewatch.pages import moment, number
from storewatch.wiring import Parts


def backup_settings(found: Parts) -> BackupSettings:
    """Return the section, which every command here needs.

    Raises:
        UsageError: there is none.
    """
    if found.config.settings.backup is None:
        raise UsageError(f"{found.config.file.name}: backup: missing; name sources and tiers there")
    return found.config.settings.backup


@click.group()
def backup() -> None:
    """Keep recovery points in every tier."""


@backup.command("run")
@json_option
@config_option
def run_(*, as_json: bool) -> None:
    """Make one recovery point, deliver it to every tier and read it back."""
    found = parts()
    with reporting() as report:
        evidence = run_backup(backup_settings(found), found.evidence, report)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@backup.command("list")
@json_option
@config_option
def list_(*, as_json: bool) -> None:
    """List the recovery points of all tiers, newest first."""
    catalogue = list_recovery_points(backup_settings(parts()))
    if as_json:
        points = [
            {
                "id": point.manifest.id,
                "finished_at": rfc3339(point.manifest.finished_at),
                "stored_bytes": point.manifest.stored_bytes,
                "tiers": list(point.tiers),
                "problems": list(point.manifest.problems),
            }
            for point in catalogue.points
        ]
        print_json({"points": points, "problems": catalogue.problems})
    else:
        rows = [
            (
                point.manifest.id,
                moment(point.manifest.finished_at),
                number(point.manifest.stored_bytes, "bytes"),
                ", ".join(point.tiers),
                "partial" if point.manifest.problems else "whole",
            )
            for point in catalogue.points
        ]
        columns = ("recovery point", "of", "stored", "tiers", "state")
        print_table(columns, rows, "no recovery point; `storewatch backup run` makes one")
        for problem in catalogue.problems:
            say(problem)
    click.get_current_context().exit(1 if catalogue.problems else 0)


@backup.command("verify")
@click.option("--tier", required=True, help="Where to read.")
@click.argument("identifier", required=False)
@config_option
def verify_(tier: str, identifier: str | None) -> None:
    """Read a recovery point (the newest without an id) back and compare every byte's hash."""
    with reporting() as report:
        manifest, problems = verify(backup_settings(parts()), tier, identifier, report)
    for problem in problems:
        say(problem)
    say(f"{manifest.id} in {tier}: {'damaged' if problems else 'whole'}")
    click.get_current_context().exit(1 if problems else 0)


@click.group()
def drill() -> None:
    """Restore for real and judge the result."""


@drill.command("run")
@click.option("--tier", help="Default: backup.drill.tier.")
@json_option
@config_option
def drill_run(tier: str | None, *, as_json: bool) -> None:
    """Restore the newest recovery point of a tier into a scratch folder and check it."""
    found = parts()
    settings = backup_settings(found)
    with reporting() as report:
        evidence = run_drill(settings, tier or settings.drill.tier, found.evidence, report)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@drill.command()
@json_option
@config_option
def history(*, as_json: bool) -> None:
    """List the drills that were run, newest first."""
    drills = parts().evidence.list(kind="drill")
    if as_json:
        print_json([one.to_json() for one in drills])
        return
    rows = [
        (
            one.id,
            one.subject,
            moment(one.started_at),
            one.verdict,
            number(one.value("recovery_time_s"), "s"),
            number(one.value("recovery_point_s"), "s"),
            number(one.value("bytes"), "bytes"),
        )
        for one in drills
    ]
    columns = ("drill", "tier", "started", "verdict", "recovery time", "recovery point", "restored")
    print_table(columns, rows, "no drill was run; `storewatch drill run` runs one")
