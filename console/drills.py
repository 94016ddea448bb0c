"""What the page of drills shows: the trend beside the targets, and how sure success is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from backup.success import CONFIDENCE, Success
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.figures import number
from storewatch.core.names import RECOVERY_POINT_S, RECOVERY_TIME_S
from storewatch.core.targets import Verdict
from storewatch.pages import Curve, chart

SUCCESS_TARGET = 0.95
"""Source: requirements R2, more than 95 % of drills succeed."""
_DAY_S, _HOUR_S = 86400.0, 3600.0
_IN_SIGHT = 4
"""A target further above than this would flatten the trend to a line at the bottom."""
_BOUNDS_DRAWN = 40
"""Lower bounds take time to reckon; a line has no more points."""


def trend(drills: Sequence[Evidence], now: datetime) -> dict[str, Any]:
    """Return what the template draws.

    Args:
        drills: newest first.
        now: the right edge of the charts.
    """
    oldest_first = list(reversed(drills))
    ages_s = [(one.started_at - now).total_seconds() for one in oldest_first]
    scale_s, unit = (_DAY_S, "d") if ages_s and -ages_s[0] > 2 * _DAY_S else (_HOUR_S, "h")
    xs = [age_s / scale_s for age_s in ages_s]
    times = [value for one in drills if (value := one.value(RECOVERY_TIME_S)) is not None]
    return {
        "drills": drills,
        "success": _success(drills),
        "confidence": CONFIDENCE,
        "success_target": SUCCESS_TARGET,
        "average_s": sum(times) / len(times) if times else None,
        "charts": [
            ("Recovery time", _chart(oldest_first, xs, RECOVERY_TIME_S, unit)),
            ("Recovery point", _chart(oldest_first, xs, RECOVERY_POINT_S, unit)),
            ("Success", _success_chart(oldest_first, xs, unit)),
        ],
    }


def _success(drills: Sequence[Evidence]) -> Success:
    return Success(sum(one.verdict is Verdict.PASS for one in drills), len(drills))


def _chart(drills: list[Evidence], xs: list[float], name: str, unit: str) -> Markup:
    points = [(x, one.value(name)) for x, one in zip(xs, drills, strict=True)]
    bound = _bound(drills, name)
    label = "measured" if bound is None else f"measured; target {number(bound, 's')}"
    highest = max((value for _, value in points if value is not None), default=0.0)
    drawn = bound if bound is not None and bound <= _IN_SIGHT * highest else None
    curve = Curve(label, "", _dots(points))
    return chart([curve], "s", bound=drawn, x_unit=unit, x_range=_range(xs))


def _dots(points: list[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Return the points; a lonely one twice, because a line of one point is not drawn."""
    known = sum(value is not None for _, value in points)
    if known != 1:
        return points
    ((x, value),) = [point for point in points if point[1] is not None]
    return [(x, value), (0.0, value)]


def _bound(drills: list[Evidence], name: str) -> float | None:
    """Return the bound of the newest drill that has one."""
    measurements: list[Measurement] = [m for one in drills for m in one.measurements]
    bounds = [m.target.bound for m in measurements if m.name == name and m.target is not None]
    return bounds[-1] if bounds else None


def _success_chart(drills: list[Evidence], xs: list[float], unit: str) -> Markup:
    so_far = [(x, _success(drills[: count + 1])) for count, x in enumerate(xs)]
    every = -(-len(so_far) // _BOUNDS_DRAWN) or 1
    drawn = [*so_far[:-1:every], *so_far[-1:]]
    curves = [
        Curve("share that passed", "good", _dots([(x, one.ratio) for x, one in so_far])),
        Curve(
            f"surpassed with {CONFIDENCE:.0%} confidence",
            "violet",
            _dots([(x, one.at_least) for x, one in drawn]),
        ),
    ]
    bound = SUCCESS_TARGET
    return chart(curves, "ratio", bound=bound, x_unit=unit, x_range=_range(xs))


def _range(xs: list[float]) -> tuple[float, float]:
    return (min([*xs, -1e-3]), 0.0)
