"""What of the shop filled up first: Prometheus' view of the same window."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.settings import ResourceSettings

# (query, first and last Unix second, step in seconds) -> (Unix second, value)
Ask = Callable[[str, float, float, float], Sequence[tuple[float, float | None]]]
_STEP_S = 5.0
_IN_A_ROW = 2  # one sample at the limit is a peak, two are a state


@dataclass(frozen=True, slots=True)
class Saturation:
    """One resource during a run.

    Attributes:
        resource: its name.
        limit: at which it counts as saturated, in the query's unit.
        points: (seconds of the run, value); empty where Prometheus has nothing.
        since_s: when it began to be saturated for ten seconds; None: it was not.
    """

    resource: str
    limit: float
    points: Sequence[tuple[float, float | None]]
    since_s: float | None

    @property
    def peak(self) -> float | None:
        """The highest value."""
        return max((value for _, value in self.points if value is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {name: getattr(self, name) for name in (*self.__slots__, "peak")}


def saturation(
    resources: Mapping[str, ResourceSettings], ask: Ask, began: float, ended: float
) -> list[Saturation]:
    """Return what each resource did, those that filled up first, then by how near they came.

    Args:
        resources: by name.
        ask: asks Prometheus for a range.
        began: Unix second.
        ended: Unix second.
    """
    found = []
    for name, one in resources.items():
        points = [(at - began, value) for at, value in ask(one.query, began, ended, _STEP_S)]
        found.append(Saturation(name, one.limit, points, _since_s(points, one.limit)))
    return sorted(found, key=_order)


def _order(one: Saturation) -> tuple[float, float]:
    first = float("inf") if one.since_s is None else one.since_s
    return first, -(one.peak or 0.0) / one.limit


def _since_s(points: Sequence[tuple[float, float | None]], limit: float) -> float | None:
    full = 0
    for position, (_, value) in enumerate(points):
        full = full + 1 if value is not None and value >= limit else 0
        if full == _IN_A_ROW:
            return points[position - 1][0]
    return None


def said(found: Sequence[Saturation]) -> str:
    """Say which resource was the bottleneck, "" when nothing was asked for."""
    if not found:
        return ""
    if unknown := [one.resource for one in found if not one.points]:
        missing = f"; Prometheus knows nothing of: {', '.join(unknown)}"
    else:
        missing = ""
    first = found[0]
    if first.since_s is None:
        if first.peak is None:
            return f"what saturated is not known{missing}"
        share = f"{first.peak / first.limit:.0%} of its limit"
        return f"nothing saturated; nearest was {first.resource}: {share}{missing}"
    return f"saturated first: {first.resource}, from second {first.since_s:.0f} on{missing}"
