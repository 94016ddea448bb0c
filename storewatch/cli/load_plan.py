"""`load plan`: the rehearsals before a launch, as a schedule, tickets, a calendar and profiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from loadtests.rehearsal import Launch, Ticket, launch, tickets
from loadtests.rehearsal_files import SCHEDULE, remarks, render, write
from loadtests.run import journey_path
from storewatch.cli.common import (
    config_option,
    json_option,
    parts,
    print_json,
    print_table,
    say,
)
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError


@click.command("plan")
@click.option("--event", required=True, metavar="NAME", help="Such as DOUBLE11.")
@click.option("--peak", required=True, metavar="RATE", help="Journeys, such as 500/s.")
@click.option("--date", "day", required=True, metavar="DAY", help="Such as 2027-11-11.")
@click.option("--journey", help="Of loadtests.journeys; default: the first.")
@click.option("--output", type=click.Path(path_type=Path), help="Default: rehearsal-NAME-DAY.")
@json_option
@config_option
def plan_(
    event: str, peak: str, day: str, journey: str | None, output: Path | None, *, as_json: bool
) -> None:
    """Write the rehearsals before a launch: schedule, tickets, calendar, profiles.

    Nothing is overwritten. What should have been done already is named.
    """
    settings = parts().config.settings.loadtests
    if journey is None:
        journey = next(iter(settings.journeys), None)
    if journey is None:
        raise UsageError("loadtests.journeys is empty; name there what can be loaded")
    journey_path(settings, journey)
    today = utc_now().date()
    coming = launch(event, peak, day, journey, today)
    found = tickets(coming, today)
    folder = output or Path(f"rehearsal-{coming.event}-{coming.day}")
    write(folder, render(coming, found, today))
    if as_json:
        print_json(_described(coming, found, folder))
        return
    rows = [(one.when, one.due, one.title, one.who, "; ".join(remarks(one))) for one in found]
    print_table(("", "due", "rehearsal", "who", ""), rows, "")
    say(f"{folder / SCHEDULE}: {len(found)} tickets, a calendar and profiles lie beside it")


def _described(coming: Launch, found: Sequence[Ticket], folder: Path) -> dict[str, Any]:
    return {
        "event": coming.event,
        "date": str(coming.day),
        "peak_per_s": coming.peak_per_s,
        "folder": str(folder),
        "tickets": [
            {
                "when": one.when,
                "due": str(one.due),
                "title": one.title,
                "who": one.who,
                "passed": one.passed,
                "file": one.file,
                "commands": one.commands,
            }
            for one in found
        ],
    }


COMMANDS = (plan_,)
