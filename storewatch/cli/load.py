"""`load`: rehearse a launch."""

import click

from loadtests.process import Crew, checked_address, join
from loadtests.run import Wish, find_profile, run_load
from storewatch.cli.common import (
    config_option,
    end_with,
    end_with_worst,
    evidence_json,
    json_option,
    parts,
    print_json,
    say,
    verdict_line,
)
from storewatch.cli.load_capacity import COMMANDS as CAPACITY_COMMANDS
from storewatch.cli.load_compare import COMMANDS as COMPARE_COMMANDS
from storewatch.cli.load_gate import COMMANDS as GATE_COMMANDS
from storewatch.cli.load_plan import COMMANDS as PLAN_COMMANDS
from storewatch.cli.load_view import watching
from storewatch.core.evidence import Evidence
from storewatch.core.names import P95_S


@click.group()
def load() -> None:
    """Load the journeys and judge the shop by its targets."""


for _command in (*CAPACITY_COMMANDS, *COMPARE_COMMANDS, *GATE_COMMANDS, *PLAN_COMMANDS):
    load.add_command(_command)


@load.command()
@click.argument("journey", required=False)
@click.option("--profile", default="baseline", show_default=True, help="Of loadtests.profiles.")
@click.option("--release", default="", metavar="NAME", help="Of the shop; for load compare.")
@click.option("--times", type=click.IntRange(1, 100), help="So often in a row; for load compare.")
@click.option(
    "--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="Processes here."
)
@click.option("--remote", type=click.IntRange(0, 256), default=0, help="Workers from elsewhere.")
@click.option(
    "--listen",
    default="127.0.0.1:0",
    metavar="HOST:PORT",
    help="Where workers from elsewhere find this one.",
)
@click.option("--to-the-end", is_flag=True, help="Also when a target is missed for good.")
@json_option
@config_option
def run(
    journey: str | None,
    profile: str,
    release: str,
    times: int | None,
    workers: int,
    remote: int,
    listen: str,
    *,
    to_the_end: bool,
    as_json: bool,
) -> None:
    """Run a profile against a journey, or its mix; the report lies beside the evidence."""
    store = parts().evidence
    crew = Crew(workers, remote, checked_address(listen))
    wish = Wish(journey, profile, release, crew, gives_up=not to_the_end)
    if times is None:
        evidence = _run_once(wish, wish.subject)
        end_with(evidence, store.folder(evidence), as_json=as_json)
        return
    done: list[Evidence] = []
    for turn in range(1, times + 1):
        done.append(evidence := _run_once(wish, f"{wish.subject}, {turn} of {times}"))
        if not as_json:
            for line in (*evidence.notes, verdict_line(evidence, store.folder(evidence))):
                say(line)
    if as_json:
        print_json([evidence_json(one, store.folder(one)) for one in done])
    end_with_worst(done)


def _run_once(wish: Wish, label: str) -> Evidence:
    found = parts()
    settings = found.config.settings.loadtests
    targets = settings.targets_of(find_profile(settings, wish.profile))
    with watching(label, targets.get(P95_S)) as progress:
        return run_load(settings, wish, found.evidence, progress, found.surroundings)


@load.command()
@click.argument("leader", metavar="HOST:PORT")
def worker(leader: str) -> None:
    """Make a part of the load that `load run --remote` on another machine leads."""
    click.get_current_context().exit(join(leader))
