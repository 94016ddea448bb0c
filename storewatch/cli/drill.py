"""`drill`: restore for real, and show that damage is found."""

import random

import click

from backup.drill import run_drill
from backup.drill_choice import choose
from backup.sabotage import run_sabotage
from backup.success import CONFIDENCE, Success
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
from storewatch.cli.transfer import transferring
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.figures import moment, number
from storewatch.core.names import (
    RECOVERY_TIME_S,
    TIME_TO_DETECT_S,
    TIME_TO_RECOVER_S,
    TIME_TO_REDUNDANCY_S,
)
from storewatch.core.targets import Verdict
from storewatch.proving import find_failover, run_proof
from storewatch.walking import walk_journey

_FAILOVER_TIMES = (TIME_TO_DETECT_S, TIME_TO_RECOVER_S, TIME_TO_REDUNDANCY_S)


@click.group()
def drill() -> None:
    """Restore for real and judge the result."""


@drill.command()
@click.option("--tier", help="Default: backup.drill.tier.")
@click.option("--point", metavar="ID", help="A recovery point; default: the newest of the tier.")
@click.option(
    "--scheduled", is_flag=True,
    help="Choose as the scheduler does: the newest once a day, else any of any tier.",
)  # fmt: skip
@json_option
@config_option
def run(*, tier: str | None, point: str | None, scheduled: bool, as_json: bool) -> None:
    """Restore a recovery point into a scratch folder and check it."""
    if scheduled and (tier or point):
        raise UsageError(
            "--scheduled chooses tier and recovery point; leave out --tier and --point"
        )
    found = parts()
    settings, why = backup_settings(found), ""
    if scheduled:
        drills = found.evidence.list(kind="drill")
        chosen = choose(settings, drills, utc_now(), random.SystemRandom())
        tier, point, why = chosen.tier, chosen.identifier, chosen.why
    with transferring() as report:
        evidence = run_drill(
            settings,
            tier or settings.drill.tier,
            found.evidence,
            report,
            point,
            why,
            walk_journey,
        )
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@drill.command()
@click.option("--tier", help="Where the copy comes from. Default: backup.drill.tier.")
@click.option("--seed", type=int, help="Repeat a choice; the record of a run names its seed.")
@json_option
@config_option
def sabotage(*, tier: str | None, seed: int | None, as_json: bool) -> None:
    """Damage a copy of the newest recovery point at random; the drill must find it."""
    found = parts()
    settings = backup_settings(found)
    with transferring() as report:
        evidence = run_sabotage(settings, tier or settings.drill.tier, found.evidence, report, seed)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@drill.command()
@click.argument("proof", required=False)
@json_option
@config_option
def failover(*, proof: str | None, as_json: bool) -> None:
    """Kill the primary under load, promote and rejoin by the runbooks, account for every order.

    PROOF is one of chaos.proofs with a `rejoin`; default: the first of them.
    """
    found = parts()
    tell = (lambda _line: None) if as_json else say
    evidence = run_proof(found, find_failover(found, proof), tell, kind="failover")
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


@drill.command()
@json_option
@config_option
def history(*, as_json: bool) -> None:
    """List the drills that were run, newest first, and what they show."""
    store = parts().evidence
    drills, failovers = store.list(kind="drill"), store.list(kind="failover")
    success = Success(sum(one.verdict is Verdict.PASS for one in drills), len(drills))
    if as_json:
        summary = {
            "passed": success.passed,
            "drills": success.drills,
            "ratio": success.ratio,
            "at_least": success.at_least,
            "confidence": CONFIDENCE,
            "average_recovery_time_s": _average(drills),
        }
        print_json(
            {
                "drills": [one.to_json() for one in drills],
                "summary": summary,
                "failovers": [one.to_json() for one in failovers],
            }
        )
        return
    _show_drills(drills)
    if drills:
        say(
            f"{success.passed} of {success.drills} passed: more than"
            f" {success.at_least:.1%} with {CONFIDENCE:.0%} confidence;"
            f" average recovery time {number(_average(drills), 's')}"
        )
    _show_failovers(failovers)


def _show_drills(drills: list[Evidence]) -> None:
    rows = [
        (
            *_what(one),
            number(one.value(RECOVERY_TIME_S), "s"),
            number(one.value("recovery_point_s"), "s"),
            number(one.value("bytes"), "bytes"),
        )
        for one in drills
    ]
    columns = ("drill", "tier", "started", "verdict", "recovery time", "recovery point", "restored")
    print_table(columns, rows, "no drill was run; `storewatch drill run` runs one")


def _show_failovers(failovers: list[Evidence]) -> None:
    rows = [
        (*_what(one), *(number(one.value(name), "s") for name in _FAILOVER_TIMES))
        for one in failovers
    ]
    columns = ("fail-over", "proof", "started", "verdict", "detected", "recovered", "redundant")
    print_table(columns, rows, "no fail-over was drilled; `storewatch drill failover` drills one")


def _what(one: Evidence) -> tuple[str, str, str, str]:
    return one.id, one.subject, moment(one.started_at), one.verdict


def _average(drills: list[Evidence]) -> float | None:
    times = [value for one in drills if (value := one.value(RECOVERY_TIME_S)) is not None]
    return sum(times) / len(times) if times else None
