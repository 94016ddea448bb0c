"""What each requirement of a release gate is worth, and what they are worth together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from alerting.slo_status import SloStatus
from loadtests.past_runs import Run, Side, difference
from storewatch.core import names
from storewatch.core.errors import BusyError, StorewatchError, UnreachableError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.figures import number
from storewatch.core.targets import Target, Verdict, worst
from storewatch.pages import page_environment

# What the gate shows of the evidence that it made, beside what missed its target.
_KEY_FIGURES = (
    *(names.P95_S, names.ERROR_RATIO, names.TIME_TO_RECOVER_S, names.ORDERS_LOST),
    *("p95_ratio", "error_ratio_increase"),
    *(names.RECOVERY_TIME_S, names.RECOVERY_POINT_S),
)
_JUDGED = (Verdict.PASS, Verdict.FAIL)
NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One requirement and what came of it.

    Attributes:
        title: of the requirement.
        verdict: what it is worth.
        said: why it is no PASS, or what a PASS rests on; one line.
        measurements: its key figures, named `<measurement>.<requirement>`.
        evidence: what it rests on.
    """

    title: str
    verdict: Verdict
    said: str = ""
    measurements: tuple[Measurement, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def note(self) -> str:
        """The requirement in a line: verdict, reason, ids of its evidence."""
        ids = ", ".join(one.id for one in self.evidence)
        return (
            f"{self.verdict}: {self.title}"
            + (f": {self.said}" if self.said else "")
            + (f" ({ids})" if ids else "")
        )

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as one JSON object."""
        return {
            "requirement": self.title,
            "verdict": self.verdict,
            "said": self.said,
            "measurements": [one.to_json() for one in self.measurements],
            "evidence": [
                {"id": e.id, "kind": e.kind, "subject": e.subject, "verdict": e.verdict}
                for e in self.evidence
            ],
        }


def of_rehearsals(title: str, made: Sequence[Evidence]) -> Outcome:
    """Return what evidence is worth that was made for the gate: the worst of it.

    Args:
        title: of the requirement.
        made: one or more records.
    """
    every = [m for one in made for m in one.measurements]
    missed = [m.name for m in every if m.verdict not in (None, Verdict.PASS)]
    found = []
    for name in dict.fromkeys((*_KEY_FIGURES, *missed)):
        same = [m for m in every if m.name == name and m.target]
        if same:
            bad = max(same, key=_badness)
            found.append(Measurement(f"{name}.{title}", bad.value, bad.unit, bad.target))
    verdict = worst([one.verdict for one in made])
    said = list(dict.fromkeys(line for one in made for line in _reasons(one)))
    return Outcome(title, verdict, "; ".join(said), tuple(found), tuple(made))


def of_broken_off(title: str, made: Sequence[Evidence], error: StorewatchError) -> Outcome:
    """Return what a requirement is worth that an error ended; what was made before it counts too.

    What could not be asked is INCONCLUSIVE, what broke off is a FAIL.

    Args:
        title: of the requirement.
        made: the records before the error.
        error: what ended it.
    """
    unasked = isinstance(error, UnreachableError | BusyError)
    verdict = Verdict.INCONCLUSIVE if unasked else Verdict.FAIL
    if not made:
        return Outcome(title, verdict, str(error))
    found = of_rehearsals(title, made)
    said = f"run {len(made) + 1}: {error}" + (f"; {found.said}" if found.said else "")
    return replace(found, verdict=worst([verdict, found.verdict]), said=said)


def _badness(one: Measurement) -> tuple[int, float]:
    """Order measurements of the same thing: by verdict, then by value, missing ones last."""
    order = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.INVALID)
    return order.index(one.verdict or Verdict.PASS), one.value or 0.0


def _reasons(evidence: Evidence) -> list[str]:
    """Say why a record is no PASS; nothing of one that is."""
    if evidence.verdict is Verdict.PASS:
        return []
    missed = [
        f"{m.name} is {number(m.value, m.unit)}, asked is {m.target}"
        for m in evidence.measurements
        if m.verdict not in (None, Verdict.PASS)
    ]
    bad = tuple(f"{one}: " for one in Verdict if one is not Verdict.PASS)
    noted = [note.partition(": ")[2] for note in evidence.notes if note.startswith(bad)]
    return [*missed, *noted] or [f"{evidence.kind} {evidence.subject} is {evidence.verdict}"]


def of_newest(
    title: str, records: Sequence[Evidence], now: datetime, within_s: float, remedy: str
) -> Outcome:
    """Return what the newest record is worth: it must be a PASS, and fresh.

    One that is INVALID or INCONCLUSIVE decides nothing, and no older PASS takes its place.

    Args:
        title: of the requirement.
        records: of one kind, newest first.
        now: the moment that ages count from.
        within_s: how old it may be.
        remedy: the command that makes a new one.
    """
    newest, target = next(iter(records), None), Target("<=", within_s)
    age_s = None if newest is None else (now - newest.started_at).total_seconds()
    age = Measurement(f"age_s.{title}", age_s, "s", target)
    if newest is None:
        said = f"there is none; `{remedy}` makes one"
        return Outcome(title, Verdict.INCONCLUSIVE, said, (age,))
    shown = newest.verdict if newest.verdict in _JUDGED else Verdict.INCONCLUSIVE
    verdict = worst([target.judge(age_s), shown])
    said = f"of {newest.subject}, {number(age_s, 's')} ago"
    if newest.verdict is Verdict.FAIL:
        said += "; it failed"
    elif verdict is Verdict.FAIL:
        said += f"; asked is {number(within_s, 's')} at most: `{remedy}`"
    elif verdict is Verdict.INCONCLUSIVE:
        said += f"; it is {newest.verdict} and decides nothing: `{remedy}` again"
    return Outcome(title, verdict, said, (age,), (newest,))


def of_budgets(title: str, statuses: Sequence[SloStatus], least: float) -> Outcome:
    """Return what the error budgets are worth: each must have that share left, none be frozen."""
    target = Target(">=", least)
    found, said, verdicts = [], [], []
    for one in statuses:
        left = Measurement(f"error_budget_left_ratio.{one.slo.id}", one.remaining, "ratio", target)
        verdict = worst([target.judge(one.remaining), one.verdict])
        found.append(left)
        verdicts.append(verdict)
        if verdict is Verdict.INCONCLUSIVE:
            said.append(f"{one.slo.id} has no data" + (f": {one.note}" if one.note else ""))
        elif verdict is not Verdict.PASS:
            frozen = f", {one.level.action}" if one.level else ""
            said.append(
                f"{one.slo.id} has {number(one.remaining, 'ratio')} left,"
                f" asked is {number(least, 'ratio')}{frozen}"
            )
    return Outcome(title, worst(verdicts), "; ".join(said), tuple(found))


def last_passed(gates: Sequence[Evidence], policy: str, release: str) -> str | None:
    """Return the last other release that passed a policy; None: there is none.

    Args:
        gates: evidence of gates, newest first.
        policy: by name.
        release: the one that is at the gate now.
    """
    for one in gates:
        other = str(one.context.get("release") or "")
        if one.subject == policy and one.verdict is Verdict.PASS and other not in ("", release):
            return other
    return None


def alike(runs: Sequence[Run], subject: str, before: str, release: str) -> tuple[Side, Side] | str:
    """Return the runs of two releases that can be compared, or say what is missing.

    All valid runs of a release count, also those of an earlier try at the gate: who repeats it
    until it passes gains nothing. What differs in plan or host from the newest is left aside.

    Args:
        runs: of the past, oldest first.
        subject: of the load tests.
        before, release: the two.
    """
    of = {
        name: [run for run in runs if (run.release, run.subject) == (name, subject)]
        for name in (before, release)
    }
    if not of[release]:
        return f"{release} has no run of {subject}; require `load: {subject}` before it"
    newest = of[release][-1]
    kept = {name: tuple(r for r in some if not difference(r, newest)) for name, some in of.items()}
    if not kept[before]:
        unlike = f": {difference(of[before][-1], newest)}" if of[before] else ""
        return f"{before}, which passed last, has no run of {subject} to compare with{unlike}"
    return Side(before, kept[before]), Side(release, kept[release])


def measurements(outcomes: Sequence[Outcome]) -> list[Measurement]:
    """Return how many requirements there are of each verdict, then their key figures."""
    verdicts = [one.verdict for one in outcomes]
    passed, failed = (verdicts.count(one) for one in _JUDGED)
    counts = [
        Measurement("requirements_passed", passed, "requirements"),
        Measurement("requirements_failed", failed, "requirements", Target("=", 0)),
        Measurement("requirements_undecided", len(verdicts) - passed - failed, "requirements"),
    ]
    return counts + [m for one in outcomes for m in one.measurements]


def render(evidence: Evidence, release: str, outcomes: Sequence[Outcome]) -> str:
    """Return the report as HTML that opens without a network."""
    environment = page_environment(Path(__file__).parent / "templates")
    environment.globals["link"] = link
    return environment.get_template("gate.html").render(
        evidence=evidence, release=release, outcomes=outcomes
    )


def link(evidence: Evidence) -> str:
    """Return where a record lies, seen from the folder of the gate's."""
    paths = {artefact.path for artefact in evidence.artefacts}
    page = "report.html" if "report.html" in paths else "evidence.json"
    return f"../../{evidence.kind}/{evidence.id}/{page}"
