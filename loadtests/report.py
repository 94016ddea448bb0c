"""The load report: one HTML file that opens without a network."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtests.plan import Plan
from loadtests.saturation import Saturation
from loadtests.verdict import BUSINESS
from storewatch.core import names
from storewatch.core.evidence import Evidence, Measurement
from storewatch.pages import Curve, Span, page_environment

_COLORS = ("bad", "warn", "violet", "line", "good")  # the resources that are drawn
# What is drawn of each second: label, colour, key.
_LATENCY = (("p50", "good", "p50_s"), ("p95", "line", "p95_s"), ("max", "warn", "max_s"))
_ARRIVALS = (
    ("journeys asked for", "warn", "arrivals"),
    ("journeys started", "line", "started"),
    ("requests", "violet", "requests"),
    ("journeys failed", "bad", "failed"),
)
# Where the axis of percentiles is marked.
_PERCENTILES = (0, 50, 90, 99, 99.9, 99.99)
_TEMPLATES = Path(__file__).parent / "templates"


def render(
    evidence: Evidence,
    plan: Plan,
    summary: Mapping[str, Any],
    filled: Sequence[Saturation] = (),
    before: Evidence | None = None,
) -> str:
    """Return the report of one run as HTML.

    Args:
        evidence: the run.
        plan: as it went.
        summary: what was recorded.
        filled: what the shop's resources did, the first to saturate first.
        before: the newest run of the same that passed, to compare with.
    """
    seconds = [row for row in summary["seconds"] if row["second"] < plan.duration_s]
    target = next((m.target for m in evidence.measurements if m.name == names.P95_S), None)
    environment = page_environment(_TEMPLATES)
    return environment.get_template("report.html").render(
        evidence=evidence,
        measured=[m for m in evidence.measurements if m.name not in BUSINESS],
        business=[m for m in evidence.measurements if m.name in BUSINESS],
        plan=plan,
        bound=target.bound if target else None,
        spans=_spans(plan),
        latency=[_curve(*one, seconds) for one in _LATENCY],
        arrivals=[_curve(*one, [_per_second(row) for row in seconds]) for one in _ARRIVALS],
        **_spectrum(summary),
        steps=[*summary["by_step"].items(), ("all steps", summary["steps"])],
        routes=list(summary["by_route"].items()),
        groups=_groups(plan, summary),
        errors=list(summary["errors"].items()),
        service=summary["service"],
        filled=filled,
        filling=[
            Curve(one.resource, color, [(x, y and y / one.limit) for x, y in one.points])
            for one, color in zip(filled, _COLORS, strict=False)
        ],
        before=before,
        changes=_changes(evidence, before),
    )


def _changes(evidence: Evidence, before: Evidence | None) -> list[tuple[Measurement, float]]:
    """Return what was measured both times, and what it was before."""
    then = {m.name: m.value for m in before.measurements} if before else {}
    return [
        (one, was)
        for one in evidence.measurements
        if one.value is not None and (was := then.get(one.name)) is not None
    ]


def _spectrum(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return curve and marks of the latency by percentile, each further nine as wide as the first.

    So are the percentile plots of HdrHistogram: on a plain axis the tail has no room. The maximum
    stands for one in as many as there are.
    """
    rarest = 1 / max(1, summary["steps"]["count"])

    def nines(percentile: float) -> float:
        return -math.log10(max(1 - percentile / 100, rarest))

    points = [(nines(percentile), seconds) for percentile, seconds in summary["spectrum"]]
    return {
        "spectrum": [Curve("all steps", "line", points)],
        "percentiles": [(nines(p), f"{p:g} %") for p in _PERCENTILES if 1 - p / 100 > rarest],
    }


def _spans(plan: Plan) -> list[Span]:
    """Mark the stages that do not count."""
    found, begun_s = [], 0.0
    for stage in plan.stages:
        if not stage.counts:
            found.append(Span(stage.name, begun_s, begun_s + stage.duration_s, "calm"))
        begun_s += stage.duration_s
    return found


def _groups(plan: Plan, summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the rows by stage, and by journey where there is more than one."""
    journeys = list(summary["by_journey"].items()) if len(plan.journeys) > 1 else []
    return [*((f"stage {row['name']}", row) for row in summary["by_stage"]), *journeys]


def _curve(label: str, color: str, key: str, seconds: list[dict[str, Any]]) -> Curve:
    return Curve(label, color, [(row["second"], row[key]) for row in seconds])


def _per_second(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of seconds that were joined, per second."""
    return {**row, **{key: row[key] / row["width_s"] for _, _, key in _ARRIVALS}}
