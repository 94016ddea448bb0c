"""What can be said of a run that is not over."""

from collections.abc import Iterable, Mapping
from typing import Any

from loadtests.figures import StageFigures
from loadtests.histogram import merged
from storewatch.core import names
from storewatch.core.targets import Target, Verdict

_SHARES = {names.P50_S: 0.50, names.P95_S: 0.95, names.P99_S: 0.99}


def held(row: Mapping[str, Any], targets: Mapping[str, Target]) -> bool:
    """Tell whether a step held: all was done in time, and no target of the run was missed.

    Args:
        row: counts and quantiles of the step at the end of the pause after it.
        targets: by measurement name; those of latency and errors count here.
    """
    if not row["visits"] or row["visits"] < row["arrivals"]:
        return False
    measured = {
        names.ERROR_RATIO: row["visits_failed"] / row["visits"],
        **{name: row["steps"][name] for name in _SHARES},
    }
    verdicts = [targets[name].judge(value) for name, value in measured.items() if name in targets]
    return all(verdict is Verdict.PASS for verdict in verdicts)


def hopeless(
    figures: Iterable[StageFigures], journeys: float, targets: Mapping[str, Target]
) -> str:
    """Return which target is missed even if all that is still to come goes well; "" for none.

    Args:
        figures: of the stages that count, so far.
        journeys: how many there will be in them.
        targets: by measurement name; those of the run's latency and errors are looked at.
    """
    cells = [cell for one in figures for cell in one.cells.values()]
    visits = sum(cell.visits for cell in cells)
    if not visits:
        return ""
    journeys = max(journeys, visits)
    steps = merged(one.took for cell in cells for one in cell.steps.values())
    all_steps = steps.total * journeys / visits
    for name, target in targets.items():
        if name == names.ERROR_RATIO:
            at_best = sum(cell.failed for cell in cells) / journeys
            if target.judge(at_best) is Verdict.FAIL:
                return f"{name} {target} is out of reach: it will be {at_best:.2%} at best"
        if name in _SHARES and target.comparison in {"<", "<="} and all_steps:
            slow = steps.above(target.bound) / all_steps
            if slow > 1 - _SHARES[name]:
                return f"{name} {target} is out of reach: {slow:.1%} of all steps took longer"
    return ""
