"""The load report: one HTML file that opens without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.plan import Plan
from storewatch.core import names
from storewatch.core.evidence import Evidence
from storewatch.pages import Curve, Span, page_environment

_TEMPLATES = Path(__file__).parent / "templates"


def render(evidence: Evidence, plan: Plan, summary: Mapping[str, Any]) -> str:
    """Return the report of one run as HTML."""
    seconds = [row for row in summary["seconds"] if row["second"] < plan.duration_s]
    target = next((m.target for m in evidence.measurements if m.name == names.P95_S), None)
    environment = page_environment(_TEMPLATES)
    return environment.get_template("report.html").render(
        evidence=evidence,
        plan=plan,
        bound=target.bound if target else None,
        spans=_spans(plan),
        latency=[
            _curve("p50", "good", seconds, "p50_s"),
            _curve("p95", "line", seconds, "p95_s"),
            _curve("max", "warn", seconds, "max_s"),
        ],
        arrivals=[
            _curve("journeys asked for", "warn", seconds, "arrivals"),
            _curve("journeys started", "line", seconds, "started"),
            _curve("requests", "violet", seconds, "requests"),
            _curve("journeys failed", "bad", seconds, "failed"),
        ],
        spectrum=[Curve("all steps", "line", summary["spectrum"])],
        steps=[*summary["by_step"].items(), ("all steps", summary["steps"])],
        routes=list(summary["by_route"].items()),
        groups=_groups(plan, summary),
        errors=list(summary["errors"].items()),
    )


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


def _curve(label: str, color: str, seconds: list[dict[str, Any]], key: str) -> Curve:
    return Curve(label, color, [(row["second"], row[key]) for row in seconds])
