"""From what was recorded to what it is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadtests.curves import WINDOW_S
from loadtests.ladder import bracket
from loadtests.plan import Plan
from loadtests.profiles import RECOVERY
from loadtests.prospects import with_steps
from storewatch.core import names
from storewatch.core.evidence import Measurement
from storewatch.core.figures import number
from storewatch.core.targets import Target, Verdict

# Locust itself warns at 90 % of a core: beyond it the generator, not the shop, sets the latency.
CPU_LIMIT_RATIO = 0.9
# Starts later than this are the generator's doing; half of the 200 ms a shop is allowed to take.
LATENESS_LIMIT_S = 0.1
# An answer is seen as late as the generator wakes; with the start, a latency has it twice.
WAKING_LIMIT_S = LATENESS_LIMIT_S / 2
# A window with fewer steps has no p95 to speak of: one of them is beyond it.
WINDOW_MINIMUM = 20
# What the reconciliation brings; targets for these are its own.
BUSINESS = frozenset(
    {
        names.ORDERS_ACKNOWLEDGED,
        names.ORDERS_LOST,
        names.ORDERS_DUPLICATED,
        names.DOUBLE_CHARGES,
        names.OVERSOLD_UNITS,
        "wrong_amounts",
    }
)
# Journeys per second: the highest rate that held and the lowest that did not (of a breakpoint).
SUSTAINED, BREAKING = "sustained_per_s", "breaking_per_s"
GIVEN_UP = "given up"  # how the note of a run begins that was
# What succeeded per second of the time that counts, of the whole run or of a part.
THROUGHPUT = "throughput_per_s"
_QUANTILES = (names.P50_S, names.P95_S, names.P99_S)
# What can be said of a step, a route, a stage, a journey; and of the run alone.
_OF_PARTS = (*_QUANTILES, names.ERROR_RATIO, THROUGHPUT)
_OF_RUNS = frozenset(
    {
        *BUSINESS,
        names.REQUESTS,
        "requests_per_s",
        names.ARRIVALS_MISSED,
        names.GENERATOR_CPU_RATIO,
        "generator_lateness_p99_s",
        "generator_waking_p99_s",
        names.TIME_TO_RECOVER_S,
        SUSTAINED,
        BREAKING,
    }
)


def misnamed(name: str) -> str:
    """Say why there is no measurement of that name, "" when there may be one."""
    base, _, part = name.partition(".")
    if base in _OF_PARTS or (name in _OF_RUNS and not part):
        return ""
    known = ", ".join([*_OF_PARTS, *sorted(_OF_RUNS)])
    return f"no measurement {name!r}; there are: {known}; of a step: p95_s.<step>"


def measurements(
    summary: Mapping[str, Any],
    plan: Plan,
    targets: Mapping[str, Target],
    business: Sequence[Measurement] = (),
) -> list[Measurement]:
    """Return the measurements of a run.

    Those of the run as a whole, then `<measurement>.<part>` of its parts: the p95 of each step and
    what has a target. A target for p95_s holds for each step as well. One for a part that did not
    occur has no value, and so is no pass.

    Args:
        summary: what `Recorder.summary` returned.
        plan: what was asked for.
        targets: by measurement name.
        business: what the reconciliation counted; a target takes the place of its own.
    """
    whole, parts = _whole(summary, plan), _parts(summary, plan)
    shown = {f"{names.P95_S}.{step}" for step in summary["by_step"]}
    judged = with_steps(targets, summary["by_step"])
    if plan.stages[-1].name == RECOVERY:
        whole[names.TIME_TO_RECOVER_S] = (_recovered_after_s(summary, plan, targets), "s")
        judged.setdefault(names.TIME_TO_RECOVER_S, Target("<=", _watched_s(plan)))
    if summary["ladder"]:
        sustained, broke = bracket(summary["ladder"])
        whole[SUSTAINED], whole[BREAKING] = (sustained, "1/s"), (broke, "1/s")
    wanted = {n: parts.get(n, (None, "")) for n in (*shown, *judged) if n not in whole}
    counted = {one.name: replace(one, target=targets.get(one.name, one.target)) for one in business}
    return [
        *(
            Measurement(name, value, unit, judged.get(name))
            for name, (value, unit) in (whole | wanted).items()
            if name not in counted
        ),
        *counted.values(),
    ]


def _whole(summary: Mapping[str, Any], plan: Plan) -> dict[str, tuple[float | None, str]]:
    """Return value and unit of what is said of every run."""
    visits, failed = summary["visits"], summary["visits_failed"]
    requests_per_s = _per_s(summary["requests"], plan.counted_s(summary["duration_s"]))
    return {
        **{name: (summary["steps"][name], "s") for name in _QUANTILES},
        names.ERROR_RATIO: (failed / visits if visits else None, "ratio"),
        names.REQUESTS: (summary["requests"], "requests"),
        "requests_per_s": (requests_per_s, "requests/s"),
        names.ARRIVALS_MISSED: (summary["arrivals_missed"], "arrivals"),
        names.GENERATOR_CPU_RATIO: (summary["generator_cpu_ratio"], "ratio"),
        "generator_lateness_p99_s": (summary["lateness"]["p99_s"], "s"),
        "generator_waking_p99_s": (summary["waking"]["p99_s"], "s"),
    }


def _parts(summary: Mapping[str, Any], plan: Plan) -> dict[str, tuple[float | None, str]]:
    """Return value and unit of what can be said of steps, journeys, stages, routes and windows."""
    pieces = {**summary["by_step"], **{f"route:{r}": row for r, row in summary["by_route"].items()}}
    groups = {f"journey:{name}": row for name, row in summary["by_journey"].items()}
    groups |= {f"stage:{row['name']}": row for row in summary["by_stage"] if row["visits"]}
    times = pieces | {part: row["steps"] for part, row in groups.items()}
    found: dict[str, tuple[float | None, str]] = {
        f"{name}.{part}": (row[name], "s") for part, row in times.items() for name in _QUANTILES
    }
    counts = {part: (row["count"], row["failed"]) for part, row in pieces.items()}
    counts |= {part: (row["visits"], row["visits_failed"]) for part, row in groups.items()}
    over = plan.reached_s(summary["duration_s"])
    reached_s = {f"stage:{stage.name}": seconds for stage, seconds in over}
    counted_s = plan.counted_s(summary["duration_s"])
    for part, (count, failed) in counts.items():
        seconds = reached_s.get(part, counted_s)
        found[f"{names.ERROR_RATIO}.{part}"] = (failed / count if count else None, "ratio")
        found[f"{THROUGHPUT}.{part}"] = (_per_s(count - failed, seconds), "1/s")
    good = summary["visits"] - summary["visits_failed"]
    found[THROUGHPUT] = (_per_s(good, counted_s), "1/s")
    enough = [row for row in summary["windows"] if row["count"] >= WINDOW_MINIMUM]
    for name in _QUANTILES:
        worst = max((row[name] for row in enough), default=None)
        found[f"{name}.worst-{WINDOW_S}s"] = (worst, "s")
    return found


def _recovered_after_s(
    summary: Mapping[str, Any], plan: Plan, targets: Mapping[str, Target]
) -> float | None:
    """Return how long after the peak the last bad second was; None when the end was still bad.

    A second is bad when its p95 misses the target of p95_s, or a journey failed.
    """
    end_s = plan.duration_s
    peak_end_s = end_s - _watched_s(plan)
    target = targets.get(names.P95_S)
    bad = [
        row["second"] + row["width_s"]
        for row in summary["seconds"]
        if peak_end_s <= row["second"] < end_s
        and (row["failed"] or (target and target.judge(row["p95_s"]) is Verdict.FAIL))
    ]
    last_s = max(bad, default=peak_end_s)
    return None if not _seen(summary, plan) or last_s > end_s - 1 else last_s - peak_end_s


def _watched_s(plan: Plan) -> float:
    """Return the seconds from the end of the peak to the end of the run."""
    return sum(stage.duration_s for stage in plan.stages[-2:])


def _seen(summary: Mapping[str, Any], plan: Plan) -> bool:
    """Tell whether the run went on to the end of what is watched after the peak."""
    return bool(summary["duration_s"] >= plan.duration_s - 1)


def failures(summary: Mapping[str, Any], plan: Plan, targets: Mapping[str, Target]) -> list[str]:
    """Return why the run is a FAIL whatever was measured against a target."""
    if plan.stages[-1].name != RECOVERY or not _seen(summary, plan):
        return []
    if _recovered_after_s(summary, plan, targets) is not None:
        return []
    watched = number(_watched_s(plan), "s")
    return [f"FAIL: {watched} after the peak the shop had not recovered"]


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
    waking = summary["waking"]["p99_s"]
    if waking is not None and waking > WAKING_LIMIT_S:
        reasons.append(
            f"INVALID: the generator was starved: 1 % of the time it woke {waking:.2f} s late or"
            " more (limit 0.05 s)"
        )
    if summary["lost_workers"]:
        reasons.append(f"INVALID: {summary['lost_workers']}")
    if summary["sockets_exhausted"]:
        reasons.append(
            f"INVALID: {summary['sockets_exhausted']} requests found no socket left on the"
            " generator's machine; allow more (ulimit -n, net.ipv4.ip_local_port_range)"
        )
    if summary["arrivals_missed"]:
        reasons.append(f"INVALID: {summary['arrivals_missed']} arrivals were never started")
    return reasons


def reason_cut_short(summary: Mapping[str, Any], planned_s: float) -> list[str]:
    """Return why a run that ended before its plan did is INVALID."""
    if summary["complete"] or summary["aborted"]:
        return []
    if summary["incident"]:
        return [f"INVALID: ended, because an incident began: {summary['incident']}"]
    return [f"INVALID: the run ended after {summary['duration_s']:.0f} of {planned_s:.0f} s"]


def remarks(summary: Mapping[str, Any], plan: Plan) -> list[str]:
    """Return what else a reader of the evidence should know."""
    said = []
    late, waking = summary["lateness"]["p99_s"] or 0.0, summary["waking"]["p99_s"] or 0.0
    well = summary["generator_cpu_ratio"] <= CPU_LIMIT_RATIO and waking <= WAKING_LIMIT_S
    if well and (late > LATENESS_LIMIT_S or summary["arrivals_missed"]):
        said.append(
            f"the generator was idle: the shop kept all {plan.shoppers} virtual shoppers waiting;"
            " with more of them (loadtests.connections) its latency is seen in full"
        )
    if summary["aborted"]:
        said.append(f"{GIVEN_UP} after {summary['duration_s']:.0f} s: {summary['aborted']}")
    if summary["ladder"] and all(held for _, held in summary["ladder"]):
        most = max(rate for rate, _ in summary["ladder"])
        said.append(f"nothing broke up to {most:g} journeys/s; raise `by` or `steps`")
    return said


def overrides(reasons: list[str]) -> list[Verdict]:
    """Return the verdicts that go with reasons to distrust."""
    return [Verdict.INVALID] if reasons else []


def _per_s(count: float, seconds: float) -> float | None:
    return round(count / seconds, 2) if seconds else None
