from typing import Any

import pytest

from loadtests.recorder import ALL_STEPS
from loadtests.verdict import measurements, overrides, reason_cut_short, reasons_to_distrust
from storewatch.core.clock import utc_now
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Target, Verdict

TARGETS = {"p95_s": Target("<", 0.2), "error_ratio": Target("<=", 0.001)}


def summary(**changes: Any) -> dict[str, Any]:
    quick = {"count": 100, "p50_s": 0.05, "p95_s": 0.1, "p99_s": 0.15, "max_s": 0.2}
    return {
        "duration_s": 65.0,
        "measured_s": 60.0,
        "generator_cpu_ratio": 0.3,
        "arrivals_missed": 0,
        "visits": 1000,
        "visits_failed": 0,
        "requests": 3000,
        "lateness": {**quick, "p99_s": 0.01},
        "steps": {"front": quick, "pay": quick, ALL_STEPS: quick},
        **changes,
    }


def judged(found: dict[str, Any]) -> Verdict:
    reasons = reasons_to_distrust(found)
    return Evidence(
        "id",
        "load",
        "checkout/baseline",
        utc_now(),
        1.0,
        tuple(measurements(found, TARGETS)),
        overrides=tuple(overrides(reasons)),
    ).verdict


def test_a_quick_shop_and_an_idle_generator_pass() -> None:
    assert judged(summary()) is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generator_cpu_ratio": 0.95}, "95% of a core"),
        ({"lateness": {"p99_s": 0.4}}, "0.40 s late"),
        ({"arrivals_missed": 3}, "3 arrivals were never started"),
    ],
    ids=["processor", "lateness", "missed arrivals"],
)
def test_a_run_whose_generator_did_not_keep_up_is_invalid(
    changes: dict[str, Any], reason: str
) -> None:
    (said,) = reasons_to_distrust(summary(**changes))
    assert reason in said
    assert judged(summary(**changes)) is Verdict.INVALID


def test_one_slow_step_fails_the_run_although_the_whole_is_quick() -> None:
    steps = summary()["steps"]
    slow = {**steps, "pay": {**steps["pay"], "p95_s": 0.25}}
    found = {m.name: m.verdict for m in measurements(summary(steps=slow), TARGETS)}
    assert found["p95_s"] is Verdict.PASS
    assert found["p95_s.front"] is Verdict.PASS
    assert found["p95_s.pay"] is Verdict.FAIL
    assert judged(summary(steps=slow)) is Verdict.FAIL


def test_failed_visits_are_measured_against_all_visits() -> None:
    found = {m.name: m for m in measurements(summary(visits_failed=2), TARGETS)}
    assert found["error_ratio"].value == 0.002
    assert found["error_ratio"].verdict is Verdict.FAIL


def test_a_run_without_visits_is_no_pass() -> None:
    nothing = {"count": 0, "p50_s": None, "p95_s": None, "p99_s": None, "max_s": None}
    found = summary(visits=0, requests=0, steps={}, lateness=nothing)
    assert judged(found) is Verdict.INCONCLUSIVE


def test_a_run_that_was_ended_early_says_so() -> None:
    assert reason_cut_short(summary(), 65.0) == []
    (said,) = reason_cut_short(summary(duration_s=12.0), 65.0)
    assert said == "INVALID: the run ended after 12 of 65 s"
