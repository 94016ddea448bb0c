"""Load tests of one subject over time, and where their p95 changed its level."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.changes import Change, find_changes
from loadtests.past_runs import Run, difference
from storewatch.core.names import P95_S
from storewatch.core.targets import Verdict

LONGEST = 200
"""Runs of which the newest are looked at; so many take two seconds."""


@dataclass(frozen=True, slots=True)
class History:
    """Runs of one subject.

    Attributes:
        runs: all of them, the oldest first.
        compared: those that are like the newest valid one, the oldest first.
        left_out: by id, why a run is not compared.
        changes: of p95; `index` is that of `compared`.
    """

    runs: tuple[Run, ...]
    compared: tuple[Run, ...]
    left_out: dict[str, str]
    changes: tuple[Change, ...]

    def change_at(self, run: Run) -> Change | None:
        """Return the change that began with a run."""
        found = (one for one in self.changes if self.compared[one.index].id == run.id)
        return next(found, None)


def history(runs: Sequence[Run]) -> History:
    """Return what the runs of one subject, the oldest first, show over time."""
    newest = next((run for run in reversed(runs) if not _unusable(run)), None)
    reasons = {
        run.id: _unusable(run) or (difference(run, newest) if newest else "") for run in runs
    }
    compared = tuple(run for run in runs if not reasons[run.id])[-LONGEST:]
    changes = find_changes([run.values[P95_S] or 0.0 for run in compared])
    left_out = {identifier: reason for identifier, reason in reasons.items() if reason}
    return History(tuple(runs), compared, left_out, tuple(changes))


def _unusable(run: Run) -> str:
    if run.verdict is Verdict.INVALID:
        return f"{run.name} is INVALID{run.reason}"
    if not run.plan:
        return f"the plan.json of {run.name} cannot be read"
    return "" if run.values.get(P95_S) else f"{run.name} has no p95"
