"""What can be said of a run that is not over."""

from collections.abc import Iterable, Mapping
from typing import Any

from loadtests.figures import StageFigures, Timed, together
from storewatch.core import names
from storewatch.core.targets import Target, Verdict

_SHARES = {names.P50_S: 0.50, names.P95_S: 0.95, names.P99_S: 0.99}


def with_steps(targets: Mapping[str, Target], steps: Iterable[str]) -> dict[str, Target]:
    """Return the targets and what follows of them: that for p95_s holds for each step as well."""
    of_each = {f"{names.P95_S}.{step}": targets.get(names.P95_S) for step in steps}
    return {**{name: target for name, target in of_each.items() if target}, **targets}


def held(row: Mapping[str, Any], steps: Mapping[str, Timed], targets: Mapping[str, Target]) -> bool:
    """Tell whether a step of a ladder held: all was done in time, and no target was missed.

    Args:
        row: counts and quantiles at the end of the pause after it.
        steps: of the journeys in it.
        targets: by measurement name; those of latency and errors, of all and of steps, count here.
    """
    if not row["visits"] or row["visits"] < row["arrivals"]:
        return False
    measured = {names.ERROR_RATIO: row["visits_failed"] / row["visits"]}
    for part, one in {"": together(steps.values()), **steps}.items():
        found = one.row()
        suffix = f".{part}" if part else ""
        measured |= {f"{name}{suffix}": found[name] for name in _SHARES}
        if part:
            measured[f"{names.ERROR_RATIO}{suffix}"] = one.failed / found["count"]
    judged = with_steps(targets, steps).items()
    verdicts = [target.judge(measured[name]) for name, target in judged if name in measured]
    return all(verdict is Verdict.PASS for verdict in verdicts)


def hopeless(
    figures: Iterable[StageFigures],
    steps: Mapping[str, Timed],
    journeys: float,
    targets: Mapping[str, Target],
) -> str:
    """Return which target is missed even if all that is still to come goes well; "" for none.

    Args:
        figures: of the stages that count, so far.
        steps: of the journeys in them.
        journeys: how many there will be in them.
        targets: by measurement name; those of latency and errors, of all and of steps, are looked
            at.
    """
    cells = [cell for one in figures for cell in one.cells.values()]
    visits = sum(cell.visits for cell in cells)
    if not visits:
        return ""
    times = max(journeys, visits) / visits
    whole = Timed(together(steps.values()).took, sum(cell.failed for cell in cells))
    for name, target in with_steps(targets, steps).items():
        base, _, part = name.partition(".")
        one = steps.get(part) if part else whole
        count = (one.took.total if part else visits) * times if one else 0.0
        if one is None or not count:
            continue
        if base == names.ERROR_RATIO and target.judge(one.failed / count) is Verdict.FAIL:
            return f"{name} {target} is out of reach: it will be {one.failed / count:.2%} at best"
        if base in _SHARES and target.comparison in {"<", "<="}:
            slow = one.took.above(target.bound) / (one.took.total * times or 1.0)
            if slow > 1 - _SHARES[base]:
                said = f"of all {part}" if part else "of all steps"
                return f"{name} {target} is out of reach: {slow:.1%} {said} took longer"
    return ""
