"""Load tests of the past as comparisons need them: which there are, and which are alike."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loadtests.verdict import GIVEN_UP
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.figures import number
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

# What two runs must have in common. The URL may differ: two deployments can stand side by side.
_PLAN_KEYS = (
    *("journeys", "stages", "spacing", "recording", "timeout_s", "shoppers"),
    *("think_s", "ladder"),
)
_IDENTIFIER = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@dataclass(frozen=True, slots=True)
class Run:
    """One load test of the past.

    Attributes:
        id, subject, started_at, verdict: of its evidence.
        release: of the shop that was loaded; empty: the run was not told.
        values: its measurements by name.
        reason: why it is INVALID; empty otherwise.
        given_up: after how long, and why; empty: it went to its end.
        host: what the load came from, in words.
        workers: how many processes made it.
        plan: what was asked of the generator; empty: its plan.json cannot be read.
    """

    id: str
    subject: str
    started_at: datetime
    verdict: Verdict
    release: str
    values: dict[str, float | None]
    reason: str
    given_up: str
    host: str
    workers: str
    plan: dict[str, Any]

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"run {self.id} ({self.release or 'no release'})"


@dataclass(frozen=True, slots=True)
class Side:
    """The runs of one release, or those that were named by their ids."""

    label: str
    runs: tuple[Run, ...]

    @property
    def valid(self) -> tuple[Run, ...]:
        """Runs that can be used: what is INVALID measured the generator, not the shop."""
        return tuple(run for run in self.runs if run.verdict is not Verdict.INVALID)

    @property
    def left_out(self) -> list[str]:
        """Say which runs are not used, and why."""
        unused = (run for run in self.runs if run.verdict is Verdict.INVALID)
        return [f"left out: {run.name} is INVALID{run.reason}" for run in unused]


def past_runs(store: EvidenceStore) -> list[Run]:
    """Return every load test that there is evidence of, the oldest first."""
    return [_run(store, one) for one in reversed(store.list("load"))]


def _run(store: EvidenceStore, evidence: Evidence) -> Run:
    reasons = [note for note in evidence.notes if note.startswith(Verdict.INVALID)]
    return Run(
        id=evidence.id,
        subject=evidence.subject,
        started_at=evidence.started_at,
        verdict=evidence.verdict,
        release=str(evidence.context.get("release") or ""),
        values={m.name: m.value for m in evidence.measurements},
        reason=reasons[0].removeprefix(Verdict.INVALID) if reasons else "",
        given_up=next((note for note in evidence.notes if note.startswith(GIVEN_UP)), ""),
        host=_host(evidence.context.get("host")),
        workers=str(evidence.context.get("workers") or 1),
        plan=_plan(store, evidence),
    )


def _host(context: Any) -> str:
    """Write a host as people tell hosts apart: a kernel takes some memory, and not always as much.

    Args:
        context: the member `host` of the evidence's context, None where there is none.
    """
    if not isinstance(context, dict):
        return "unknown"
    return ", ".join(
        number(value, "bytes") if key.endswith("_bytes") else f"{key} {value}"
        for key, value in sorted(context.items())
    )


def _plan(store: EvidenceStore, evidence: Evidence) -> dict[str, Any]:
    try:
        found = json.loads((store.folder(evidence) / "plan.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def differences(runs: Sequence[Run]) -> list[str]:
    """Return why runs cannot be compared with the first of them, nothing when all can."""
    unreadable = [f"the plan.json of {run.name} cannot be read" for run in runs if not run.plan]
    return unreadable or [said for run in runs[1:] if (said := difference(run, runs[0]))]


def difference(run: Run, other: Run) -> str:
    """Return in what a run is not like another one, nothing when they can be compared."""
    if run.host != other.host:
        return f"{run.name} has another host ({run.host}) than {other.name} ({other.host})"
    if run.workers != other.workers:
        return f"{run.name} has other workers ({run.workers}) than {other.name} ({other.workers})"
    keys = [key for key in _PLAN_KEYS if run.plan.get(key) != other.plan.get(key)]
    return f"{run.name} has other {', '.join(keys)} than {other.name}" if keys else ""


def choose(
    runs: Sequence[Run], operands: Sequence[str], subject: str | None
) -> tuple[str, list[Side]]:
    """Return the subject and the runs that the operands mean.

    Args:
        runs: those of the past.
        operands: each the name of a release, or ids of evidence with commas between.
        subject: such as checkout/baseline; None: the one of which all operands have runs.

    Raises:
        UsageError: an operand means no run, a run is on two sides, or no single subject remains.
    """
    found = [_meant(runs, operand) for operand in operands]
    subject = subject or _only_subject(operands, found)
    sides = []
    for operand, some in zip(operands, found, strict=True):
        kept = tuple(run for run in some if run.subject == subject)
        if not kept:
            known = ", ".join(_subjects(some))
            raise UsageError(f"{operand} has no run of {subject}; it has runs of {known}")
        sides.append(Side(_label(operand, kept), kept))
    seen: set[str] = set()
    for side in sides:
        if twice := seen & {run.id for run in side.runs}:
            raise UsageError(f"run {min(twice)} is on two sides; compare runs with other runs")
        seen |= {run.id for run in side.runs}
    return subject, sides


def only_subject(runs: Sequence[Run]) -> str:
    """Return the one subject of all runs.

    Raises:
        UsageError: there is none, or more than one.
    """
    subjects = _subjects(runs)
    if not subjects:
        raise UsageError("no load test yet; `storewatch load run JOURNEY --release NAME` makes one")
    if len(subjects) > 1:
        raise UsageError(f"name a subject, one of {', '.join(subjects)}")
    return subjects[0]


def _meant(runs: Sequence[Run], operand: str) -> list[Run]:
    of_release = [run for run in runs if run.release == operand]
    if of_release and operand:
        return of_release
    by_id = {run.id: run for run in runs}
    wanted = list(dict.fromkeys(operand.split(",")))
    if not all(_IDENTIFIER.fullmatch(one) for one in wanted):
        known = ", ".join(dict.fromkeys(run.release for run in runs if run.release)) or "none"
        raise UsageError(
            f"no load test of a release {operand!r}; there are: {known};"
            " or name evidence of kind load by ids with commas between"
        )
    if missing := [one for one in wanted if one not in by_id]:
        raise UsageError(
            f"no load test {missing[0]}; `storewatch evidence list --kind load` shows what there is"
        )
    return [by_id[one] for one in sorted(wanted)]


def _only_subject(operands: Sequence[str], found: Sequence[Sequence[Run]]) -> str:
    common = [s for s in _subjects(found[0]) if all(s in _subjects(some) for some in found)]
    if len(common) == 1:
        return common[0]
    if common:
        raise UsageError(f"there are runs of {', '.join(common)}; name one with --subject")
    each = "; ".join(
        f"{operand} has {', '.join(_subjects(some))}"
        for operand, some in zip(operands, found, strict=True)
    )
    raise UsageError(f"no subject in common: {each}; run the same journey and profile for each")


def _subjects(runs: Iterable[Run]) -> list[str]:
    return sorted({run.subject for run in runs})


def _label(operand: str, runs: Sequence[Run]) -> str:
    """Return the release where the runs have one, else the ids as short as they can be told."""
    releases = {run.release for run in runs}
    if len(releases) == 1 and (release := min(releases)):
        return release
    return f"{runs[0].id} and {len(runs) - 1} more" if len(runs) > 1 else operand
