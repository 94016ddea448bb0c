"""`load compare` and `load history`: whether a release got slower, and when it did."""

from collections.abc import Sequence
from typing import Any

import click

from loadtests.changes import ALPHA, SHORTEST, Change
from loadtests.compare import Comparison, run_comparison
from loadtests.comparison import Finding
from loadtests.history import History
from loadtests.history import history as history_of
from loadtests.past_runs import Run, choose, only_subject, past_runs
from storewatch.cli.common import (
    config_option,
    end_with_worst,
    evidence_json,
    json_option,
    parts,
    print_json,
    print_table,
    say,
    verdict_line,
)
from storewatch.core import names
from storewatch.core.clock import rfc3339
from storewatch.core.errors import UsageError
from storewatch.core.figures import moment, number

_SHOWN = ((names.P50_S, "s"), (names.P95_S, "s"), (names.P99_S, "s"), (names.ERROR_RATIO, "ratio"))


@click.command()
@click.argument("baseline")
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True)
@click.option("--subject", help="Such as checkout/baseline; default: the one that all have.")
@json_option
@config_option
def compare(
    baseline: str, candidates: tuple[str, ...], *, subject: str | None, as_json: bool
) -> None:
    """Compare repeated runs of releases: FAIL when p95 or the errors of one grew by too much.

    Each of BASELINE and CANDIDATE is a release, as `load run --release` names it, or ids of
    evidence with commas between. PASS: surely not slower by what is tolerated. INCONCLUSIVE: the
    runs cannot tell; more of them can.
    """
    found = parts()
    store, settings = found.evidence, found.config.settings.loadtests.comparison
    subject, (before, *after) = choose(past_runs(store), (baseline, *candidates), subject)
    done = [run_comparison(settings, subject, before, side, store) for side in after]
    if as_json:
        print_json([evidence_json(one.evidence, store.folder(one.evidence)) for one in done])
    else:
        for one in done:
            _show(one)
            say(verdict_line(one.evidence, store.folder(one.evidence)))
    end_with_worst([one.evidence for one in done])


def _show(comparison: Comparison) -> None:
    said, *notes = comparison.evidence.notes
    say(said)
    columns = (
        *("measurement", "baseline", "candidate", "change", "between", "p", "dominance"),
        "verdict",
    )
    print_table(columns, [_row(one) for one in comparison.findings], "nothing was compared")
    for note in notes:
        say(note)


def _row(finding: Finding) -> tuple[Any, ...]:
    unit, shown = ("s" if finding.relative else "ratio"), finding.shown()
    change = between = ""
    if shown is not None:
        less = 1 if finding.relative else 0
        change = f"{shown.estimate - less:+.1%}"
        between = f"{shown.low - less:+.1%} to {shown.high - less:+.1%}"
    return (
        finding.name,
        *(number(value, unit) for value in finding.medians()),
        change,
        between,
        "" if finding.p is None else f"{finding.p:.2g}",
        "" if finding.dominance is None else f"{finding.dominance:+.2f}",
        finding.verdict,
    )


@click.command()
@click.argument("subject", required=False)
@json_option
@config_option
def history(subject: str | None, *, as_json: bool) -> None:
    """List the load tests of a subject, newest first, and where their p95 changed its level.

    SUBJECT is such as checkout/baseline; default: the only one that there is.
    """
    every = past_runs(parts().evidence)
    subject = subject or only_subject(every)
    runs = [run for run in every if run.subject == subject]
    if not runs:
        known = ", ".join(sorted({run.subject for run in every})) or "none"
        raise UsageError(f"no load test of {subject}; there are: {known}")
    found = history_of(runs)
    if as_json:
        print_json(_history_json(subject, found))
        return
    columns = ("run", "started", "release", "verdict", "p50", "p95", "p99", "errors", "change")
    print_table(columns, [_run_row(found, run) for run in reversed(runs)], "")
    for reason in found.left_out.values():
        say(f"left out: {reason}")
    for line in _spoken(found):
        say(line)


def _run_row(found: History, run: Run) -> tuple[Any, ...]:
    change = found.change_at(run)
    mark = f"{change.ratio - 1:+.1%} from here" if change else ""
    return (
        run.id,
        moment(run.started_at),
        run.release,
        run.verdict,
        *(number(run.values.get(name), unit) for name, unit in _SHOWN),
        "left out" if run.id in found.left_out else mark,
    )


def _spoken(found: History) -> Sequence[str]:
    """Say which changes there are, or why none could be found."""
    if not found.changes:
        if len(found.compared) < 2 * SHORTEST:
            have = number(len(found.compared), "comparable runs")
            return [f"a change needs {SHORTEST} runs before and after it; there are {have}"]
        return [f"no change of p95 in {len(found.compared)} runs (limit of p: {ALPHA})"]
    return [
        f"p95 {one.ratio - 1:+.1%} from {found.compared[one.index].name} of"
        f" {moment(found.compared[one.index].started_at)}: {number(one.before, 's')} before,"
        f" {number(one.after, 's')} after, p {one.p:.2g}"
        for one in found.changes
    ]


def _history_json(subject: str, found: History) -> dict[str, Any]:
    return {
        "subject": subject,
        "runs": [
            {
                "id": run.id,
                "started_at": rfc3339(run.started_at),
                "release": run.release or None,
                "verdict": run.verdict,
                **{name: run.values.get(name) for name, _ in _SHOWN},
                "left_out": found.left_out.get(run.id),
            }
            for run in reversed(found.runs)
        ],
        "changes": [_change_json(one, found.compared[one.index]) for one in found.changes],
    }


def _change_json(change: Change, run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "release": run.release or None,
        "measurement": names.P95_S,
        "ratio": change.ratio,
        "before": change.before,
        "after": change.after,
        "p": change.p,
    }


COMMANDS = (compare, history)
"""What the group `load` gets from here."""
