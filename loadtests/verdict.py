"""From what was recorded to what it is worth."""

from collections.abc import Mapping
from typing import Any

from loadtests.recorder import ALL_STEPS
from storewatch.core import names
from storewatch.core.evidence import Measurement
from storewatch.core.targets import Target, Verdict

# Locust itself warns at 90 % of a core: beyond it the generator, not the shop, sets the latency.
CPU_LIMIT_RATIO = 0.9
# Starts later than this are the generator's doing; half of the 200 ms a shop is allowed to take.
LATENESS_LIMIT_S = 0.1


def measurements(summary: Mapping[str, Any], targets: Mapping[str, Target]) -> list[Measurement]:
    """Return the measurements of a run; the p95 target also holds for each step by itself.

    Args:
        summary: what `Recorder.summary` returned.
        targets: by measurement name.
    """
    overall = summary["steps"].get(ALL_STEPS, {})
    visits = summary["visits"]
    values: list[tuple[str, float | None, str]] = [
        (names.P50_S, overall.get("p50_s"), "s"),
        (names.P95_S, overall.get("p95_s"), "s"),
        (names.P99_S, overall.get("p99_s"), "s"),
        (names.ERROR_RATIO, summary["visits_failed"] / visits if visits else None, "ratio"),
        (names.REQUESTS, summary["requests"], "requests"),
        ("requests_per_s", _rate(summary), "requests/s"),
        (names.ARRIVALS_MISSED, summary["arrivals_missed"], "arrivals"),
        (names.GENERATOR_CPU_RATIO, summary["generator_cpu_ratio"], "ratio"),
        ("generator_lateness_p99_s", summary["lateness"]["p99_s"], "s"),
    ]
    found = [Measurement(name, value, unit, targets.get(name)) for name, value, unit in values]
    for step, row in summary["steps"].items():
        if step != ALL_STEPS:
            target = targets.get(names.P95_S)
            found.append(Measurement(f"{names.P95_S}.{step}", row["p95_s"], "s", target))
    return found


def reasons_to_distrust(summary: Mapping[str, Any]) -> list[str]:
    """Return why the run is INVALID, nothing when the generator kept up."""
    reasons = []
    cpu, late = summary["generator_cpu_ratio"], summary["lateness"]["p99_s"]
    if cpu > CPU_LIMIT_RATIO:
        reasons.append(f"INVALID: the generator used {cpu:.0%} of a core (limit 90 %)")
    if late is not None and late > LATENESS_LIMIT_S:
        reasons.append(
            f"INVALID: 1 % of the arrivals started {late:.2f} s late or more (limit 0.1 s)"
        )
    if summary["arrivals_missed"]:
        reasons.append(f"INVALID: {summary['arrivals_missed']} arrivals were never started")
    return reasons


def reason_cut_short(summary: Mapping[str, Any], planned_s: float) -> list[str]:
    """Return why a run that ended before its plan did is INVALID; a second is given."""
    if summary["duration_s"] > planned_s - 1:
        return []
    return [f"INVALID: the run ended after {summary['duration_s']:.0f} of {planned_s:.0f} s"]


def overrides(reasons: list[str]) -> list[Verdict]:
    """Return the verdicts that go with reasons to distrust."""
    return [Verdict.INVALID] if reasons else []


def _rate(summary: Mapping[str, Any]) -> float | None:
    measured_s = summary.get("measured_s")
    return round(summary["requests"] / measured_s, 2) if measured_s else None
