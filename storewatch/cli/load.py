"""`load`: rehearse a launch."""

from typing import Any

import click

from loadtests.run import run_load
from storewatch.cli.common import (
    config_option,
    end_with,
    end_with_worst,
    evidence_json,
    json_option,
    parts,
    print_json,
    reporting,
    say,
    verdict_line,
)
from storewatch.cli.load_compare import COMMANDS as COMPARE_COMMANDS
from storewatch.core.evidence import Evidence


@click.group()
def load() -> None:
    """Load the journeys and judge the shop by its targets."""


for _command in COMPARE_COMMANDS:
    load.add_command(_command)


@load.command()
@click.argument("journey", required=False)
@click.option("--profile", default="baseline", show_default=True, help="Of loadtests.profiles.")
@click.option("--release", default="", metavar="NAME", help="Of the shop; for load compare.")
@click.option("--times", type=click.IntRange(1, 100), help="So often in a row; for load compare.")
@json_option
@config_option
def run(
    journey: str | None, profile: str, release: str, *, times: int | None, as_json: bool
) -> None:
    """Run a profile against a journey, or its mix; the report lies beside the evidence."""
    store = parts().evidence
    if times is None:
        evidence = _run_once(journey, profile, release, f"load on {journey or profile}")
        end_with(evidence, store.folder(evidence), as_json=as_json)
        return
    done: list[Evidence] = []
    for turn in range(1, times + 1):
        label = f"load on {journey or profile}, {turn} of {times}"
        done.append(evidence := _run_once(journey, profile, release, label))
        if not as_json:
            for line in (*evidence.notes, verdict_line(evidence, store.folder(evidence))):
                say(line)
    if as_json:
        print_json([evidence_json(one, store.folder(one)) for one in done])
    end_with_worst(done)


def _run_once(journey: str | None, profile: str, release: str, label: str) -> Evidence:
    found = parts()
    with reporting() as report:

        def progress(line: dict[str, Any]) -> None:
            report(label, line["elapsed_s"], line["duration_s"])

        return run_load(
            found.config.settings.loadtests, journey, profile, found.evidence, progress, release
        )
