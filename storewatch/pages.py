"""Pages that open without a network: one base template, charts as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from storewatch.core.figures import moment, number, rate

_BASE = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 920, 220, 60, 12, 12, 26


def page_environment(folder: Path) -> Environment:
    """Return an escaping template environment over a package's templates and the shared base."""
    environment = Environment(
        loader=FileSystemLoader([folder, _BASE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["rate"] = rate
    environment.filters["moment"] = moment
    environment.globals["chart"] = chart
    return environment


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: points (x, y); a y of None leaves a gap. `color` is a CSS class.

    With `dots` each point is a dot, and no line joins them.
    """

    label: str
    color: str
    points: Sequence[tuple[float, float | None]]
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A marked stretch of the x axis, such as a fault that was held."""

    label: str
    start: float
    end: float
    color: str = "fault"


def chart(
    curves: Sequence[Curve],
    unit: str = "",
    spans: Sequence[Span] = (),
    bound: float | None = None,
    x_unit: str = "s",
    x_range: tuple[float, float] | None = None,
    x_marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Draw curves over a common x axis as one SVG.

    Args:
        curves: what to draw; without any point the chart says so.
        unit: of y, as `number` takes it.
        spans: marked stretches of x.
        bound: a horizontal line at the target.
        x_unit: written at the x axis.
        x_range: first and last x, for charts that stand above each other; else the points'.
        x_marks: places on the x axis and what is written there; else round numbers with `x_unit`.
    """
    points = [(x, y) for curve in curves for x, y in curve.points if y is not None]
    if not points:
        return Markup('<p class="empty">nothing was measured</p>')
    low_x, high_x = x_range or (min(x for x, _ in points), max(x for x, _ in points))
    high_x = max(high_x, low_x + 1e-9)
    high_y = max([y for _, y in points] + [bound or 0]) * 1.08 or 1.0

    def at_x(value: float) -> float:
        share = (min(max(value, low_x), high_x) - low_x) / (high_x - low_x)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def at_y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / high_y * (_HEIGHT - _TOP - _BOTTOM)

    round_xs = [(x, f"{x:.4g} {x_unit}") for x in _ticks(low_x, high_x, 8)]
    parts = [_grid(high_y, unit, x_marks or round_xs, at_x, at_y)]
    for span in spans:
        left, right = at_x(span.start), at_x(span.end)
        parts.append(
            f'<rect class="span {escape(span.color)}" x="{left:.1f}" y="{_TOP}"'
            f' width="{max(right - left, 1):.1f}" height="{_HEIGHT - _TOP - _BOTTOM}">'
            f"<title>{escape(span.label)}</title></rect>" + _span_label(span.label, left, right)
        )
    if bound is not None:
        y = at_y(bound)
        parts.append(f'<line class="bound" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
    parts += [_line(curve, at_x, at_y) for curve in curves]
    legend = "".join(
        f'<span class="key {escape(c.color)}">{escape(c.label)}</span>' for c in curves
    )
    return Markup(  # noqa: S704 - every text above went through escape()
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'
        f"<figcaption>{legend}</figcaption></figure>"
    )


def _line(curve: Curve, at_x: Any, at_y: Any) -> str:
    if curve.dots:
        return "".join(
            f'<circle class="line {escape(curve.color)}" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}"'
            f' r="3"><title>{x:.4g}: {y:.4g}</title></circle>'
            for x, y in curve.points
            if y is not None
        )
    path, pen_up = [], True
    for x, y in curve.points:
        if y is None:
            pen_up = True
            continue
        path.append(f"{'M' if pen_up else 'L'}{at_x(x):.1f},{at_y(y):.1f}")
        pen_up = False
    return f'<path class="line {escape(curve.color)}" d="{"".join(path)}"/>'


def _grid(
    high_y: float, unit: str, x_marks: Sequence[tuple[float, str]], at_x: Any, at_y: Any
) -> str:
    marks = []
    for value in _ticks(0, high_y, 4):
        y = at_y(value)
        marks.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(number(value, unit))}</text>"
        )
    for value, said in x_marks:
        marks.append(
            f'<text class="tick" x="{at_x(value):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">'
            f"{escape(said)}</text>"
        )
    return "".join(marks)


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two, some `about` of them (steps of 1, 2 or 5 times 10^n)."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]


def _span_label(label: str, left: float, right: float) -> str:
    """Return the label of a span that is wide enough for it; a narrow one tells on hovering."""
    if right - left < len(label) * 6:
        return ""
    return f'<text class="span-label" x="{left + 4:.1f}" y="{_TOP + 12}">{escape(label)}</text>'
