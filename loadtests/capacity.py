"""From the steps of a load run to what the shop can carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.arrivals import Stage
from loadtests.ladder import STEP
from loadtests.plan import Plan
from loadtests.usl import MINIMUM_LOADS, MINIMUM_R2, Fit, Point, fit
from loadtests.verdict import reasons_to_distrust
from storewatch.core.targets import Verdict

# A step in which the shop finished less than this share of what arrived did not keep up.
KEPT_UP_RATIO = 0.95
# A refused visit is quick: with more of them the mean says nothing of those that were served.
FAILED_LIMIT_RATIO = 0.05
_SLACK_S = 1.0  # a generator that ends this early has held its last step


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the run as it went.

    Attributes:
        arrived_per_s: visits that were meant to start, per second.
        per_s: visits that succeeded per second.
        concurrency: how many visits were in the shop.
        mean_s: of a visit, from its intended start to its end.
        failed_ratio: of the visits.
        left_out: why it is not fitted, "" when it is.
    """

    name: str
    arrived_per_s: float
    per_s: float
    concurrency: float
    mean_s: float | None
    failed_ratio: float
    left_out: str

    @property
    def kept_up(self) -> bool:
        """Whether the shop finished about as much as arrived."""
        return self.per_s >= KEPT_UP_RATIO * self.arrived_per_s


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the steps say.

    Attributes:
        steps: all that were held at one rate.
        requests_per_visit: of a visit that succeeds.
        response_s: of a request where the shop had least to do.
        order_ratio: orders for each visit that succeeded; None when there were none.
        fit: None where the points do not carry one.
        doubts: why the answer is less than PASS, each with the verdict it deserves.
    """

    steps: tuple[Step, ...]
    requests_per_visit: float
    response_s: float
    order_ratio: float | None
    fit: Fit | None
    doubts: tuple[tuple[Verdict, str], ...]

    @property
    def best_per_s(self) -> float:
        """The highest throughput that was measured, in visits per second."""
        return max((one.per_s for one in self.steps if not one.left_out), default=0.0)

    @property
    def reached(self) -> bool:
        """Whether the run went to the limit: more arrived than was finished, or a peak was seen."""
        seen = self.fit is not None and self.fit.peak is not None
        return seen or any(not one.kept_up for one in self.steps if not one.left_out)

    @property
    def planned_per_s(self) -> float | None:
        """What plans may count on: the lower bound of capacity, and no more than was seen."""
        return min(self.fit.capacity.low, self.best_per_s) if self.fit else None


def loads(plan: Plan) -> int:
    """Return how many different rates a run was meant to hold."""
    return len({stage.start_rate for stage in plan.stages if _is_step(stage)})


def _is_step(stage: Stage) -> bool:
    """Tell whether a stage holds one rate; of a search few count."""
    held = stage.counts or stage.name.startswith(STEP)
    return held and stage.start_rate == stage.end_rate


def capacity(summary: Mapping[str, Any], plan: Plan) -> Capacity:
    """Return what the steps of a run say about the shop.

    Args:
        summary: what `Recorder.summary` returned.
        plan: what was asked for.
    """
    rows = _held(summary, plan)
    per_visit = _requests_per_visit([row for _, _, row, why in rows if not why])
    steps = tuple(
        _step(row, duration_s, per_visit, plan.shoppers, why) for _, duration_s, row, why in rows
    )
    used = [one for one in steps if not one.left_out]
    found, doubts = _fitted(used)
    doubts += [(Verdict.INVALID, why) for why in _limits_of_the_generator(summary)]
    means = [one.mean_s for one in used if one.mean_s]
    return Capacity(
        steps=steps,
        requests_per_visit=per_visit,
        response_s=min(means) / per_visit if means and per_visit else 0.0,
        order_ratio=_order_ratio(summary),
        fit=found,
        doubts=tuple(doubts),
    )


def _limits_of_the_generator(summary: Mapping[str, Any]) -> list[str]:
    """Return why the steps tell of the generator and not of the shop; nothing when it kept up.

    Late starts and arrivals that were never started do not: beyond its limit a shop holds every
    connection, and the next visit has to wait for one.
    """
    own = {**summary, "lateness": {"p99_s": None}, "arrivals_missed": 0}
    return [why.removeprefix(f"{Verdict.INVALID}: ") for why in reasons_to_distrust(own)]


def _held(
    summary: Mapping[str, Any], plan: Plan
) -> list[tuple[str, float, Mapping[str, Any], str]]:
    """Return name, seconds, figures and why it is left out of each stage with one rate."""
    found, begun_s = [], 0.0
    for stage, row in zip(plan.stages, summary["by_stage"], strict=True):
        begun_s += stage.duration_s
        if not _is_step(stage):
            continue
        why = ""
        if begun_s > summary["duration_s"] + _SLACK_S:
            why = "it was not held to its end"
        elif not row["visits"]:
            why = "no visit was finished"
        elif row["visits_failed"] > FAILED_LIMIT_RATIO * row["visits"]:
            share = row["visits_failed"] / row["visits"]
            why = f"{share:.0%} of its visits failed (limit {FAILED_LIMIT_RATIO:.0%})"
        found.append((stage.name, stage.duration_s, row, why))
    return found


def _requests_per_visit(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the requests of one visit, by the lighter half of the steps.

    There all that arrives is answered within the step; where a queue grows it is not.
    """
    light = rows[: max(1, len(rows) // 2)]
    visits = sum(row["visits"] for row in light)
    return sum(row["requests"] for row in light) / visits if visits else 0.0


def _step(
    row: Mapping[str, Any], duration_s: float, per_visit: float, shoppers: int, left_out: str
) -> Step:
    """Return throughput and concurrency of one step.

    A visit belongs to the step in which it was meant to start, and when the shop no longer keeps
    up it ends in a later one. Throughput is therefore counted by the requests that were answered
    within the step. Concurrency is Little's law over the visits that ended; what waits for a
    virtual shopper is not in the shop, which never sees more than there are of those.

    Source: J. Little, Operations Research 9 (1961): L = lambda W.
    """
    visits, mean_s = row["visits"], row["visit"]["mean_s"]
    failed = row["visits_failed"] / visits if visits else 0.0
    ended_per_s = row["requests"] / per_visit / duration_s if per_visit else 0.0
    good = 1 - row["requests_failed"] / row["requests"] if row["requests"] else 0.0
    return Step(
        name=row["name"],
        arrived_per_s=(visits + row["arrivals_missed"]) / duration_s,
        per_s=ended_per_s * good * (1 - failed),
        concurrency=min(ended_per_s * (mean_s or 0.0), float(shoppers)),
        mean_s=mean_s,
        failed_ratio=failed,
        left_out=left_out,
    )


def _fitted(used: Sequence[Step]) -> tuple[Fit | None, list[tuple[Verdict, str]]]:
    """Return the fit, or why there is none that can be trusted."""
    points = [Point(one.concurrency, one.per_s) for one in used if one.per_s > 0]
    if len(points) < MINIMUM_LOADS:
        return None, [
            (
                Verdict.INCONCLUSIVE,
                f"{len(points)} loads can be used, a fit needs {MINIMUM_LOADS}: run a profile of"
                f" shape steps with {MINIMUM_LOADS} steps or more",
            )
        ]
    found = fit(points)
    if found.r2 < MINIMUM_R2:
        said = f"the law explains {found.r2:.0%} of the throughput (limit {MINIMUM_R2:.0%})"
        return None, [(Verdict.INCONCLUSIVE, f"{said}: it does not describe this run")]
    return found, []


def _order_ratio(summary: Mapping[str, Any]) -> float | None:
    """Return the orders for each visit that succeeded, warm-up included, as the ledger is."""
    good = sum(row["visits"] - row["visits_failed"] for row in summary["by_stage"])
    return summary["orders_acknowledged"] / good if good else None
