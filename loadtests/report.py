"""The load report: one HTML file that opens without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.plan import Plan
from loadtests.recorder import ALL_STEPS
from storewatch.core import names
from storewatch.core.evidence import Evidence
from storewatch.pages import Curve, Span, page_environment

_TEMPLATES = Path(__file__).parent / "templates"


def render(evidence: Evidence, plan: Plan, summary: Mapping[str, Any]) -> str:
    """Return the report of one run as HTML."""
    seconds = [row for row in summary["seconds"] if row["second"] < plan.duration_s]
    target = next((m.target for m in evidence.measurements if m.name == names.P95_S), None)
    steps = dict(summary["steps"])
    overall = steps.pop(ALL_STEPS, None)
    environment = page_environment(_TEMPLATES)
    return environment.get_template("report.html").render(
        evidence=evidence,
        plan=plan,
        bound=target.bound if target else None,
        spans=[Span("warm-up", 0, plan.warm_up_s, "calm")],
        latency=[
            _curve("p50", "good", seconds, "p50_s"),
            _curve("p95", "line", seconds, "p95_s"),
            _curve("max", "warn", seconds, "max_s"),
        ],
        arrivals=[
            _curve("journeys started", "line", seconds, "arrivals"),
            _curve("requests", "violet", seconds, "requests"),
            _curve("journeys failed", "bad", seconds, "failed"),
        ],
        spectrum=[Curve("all steps", "line", summary["spectrum"])],
        steps=[*steps.items(), *([("all steps", overall)] if overall else [])],
        errors=list(summary["errors"].items()),
    )


def _curve(label: str, color: str, seconds: list[dict[str, Any]], key: str) -> Curve:
    return Curve(label, color, [(row["second"], row[key]) for row in seconds])
