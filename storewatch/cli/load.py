"""`load`: rehearse a launch."""

from typing import Any

import click

from loadtests.run import run_load
from storewatch.cli.common import config_option, end_with, json_option, parts, reporting
from storewatch.cli.load_capacity import COMMANDS as CAPACITY_COMMANDS
from storewatch.cli.load_plan import COMMANDS as PLAN_COMMANDS


@click.group()
def load() -> None:
    """Load the journeys and judge the shop by its targets."""


for _command in (*CAPACITY_COMMANDS, *PLAN_COMMANDS):
    load.add_command(_command)


@load.command()
@click.argument("journey", required=False)
@click.option("--profile", default="baseline", show_default=True, help="Of loadtests.profiles.")
@click.option("--release", default="", metavar="NAME", help="Of the shop; for load compare.")
@json_option
@config_option
def run(journey: str | None, profile: str, release: str, *, as_json: bool) -> None:
    """Run a profile against a journey, or its mix; the report lies beside the evidence."""
    found = parts()
    with reporting() as report:

        def progress(line: dict[str, Any]) -> None:
            report(f"load on {journey or profile}", line["elapsed_s"], line["duration_s"])

        evidence = run_load(
            found.config.settings.loadtests,
            journey,
            profile,
            found.evidence,
            progress,
            release,
        )
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)
