from typing import Any

import pytest

from loadtests.arrivals import Stage
from loadtests.plan import Plan, Share
from loadtests.profiles import ProfileSettings
from loadtests.verdict import (
    failures,
    measurements,
    misnamed,
    overrides,
    reason_cut_short,
    reasons_to_distrust,
    remarks,
)
from storewatch.core.clock import utc_now
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict

TARGETS = {"p95_s": Target("<", 0.2), "error_ratio": Target("<=", 0.001)}


FLASH_SALE = ProfileSettings.model_validate(
    {"shape": "spike", "rate": 5, "warm_up": "5s", "rise": "5s", "hold": "30s", "recovery": "30s"}
)
NOTHING = {"count": 0, "failed": 0, "p50_s": None, "p95_s": None, "p99_s": None, "max_s": None}


def plan(*stages: Stage) -> Plan:
    held = (Stage("warm-up", 5.0, 5, 5, counts=False), Stage("hold", 60.0, 5, 5))
    share = Share("checkout", "walks:checkout")
    return Plan("run", (share,), "http://shop", None, stages or held, 10.0, 10, 10.0)


def summary(**changes: Any) -> dict[str, Any]:
    quick = {"count": 100, "failed": 0, "p50_s": 0.05, "p95_s": 0.1, "p99_s": 0.15, "max_s": 0.2}
    return {
        "duration_s": 65.0,
        "generator_cpu_ratio": 0.3,
        "arrivals_missed": 0,
        "visits": 1000,
        "visits_failed": 0,
        "requests": 3000,
        "lateness": {**quick, "p99_s": 0.01},
        "waking": {**quick, "p99_s": 0.01},
        "steps": quick,
        "by_step": {"front": quick, "pay": quick},
        "by_journey": {},
        "by_route": {"POST /pay": quick},
        "by_stage": [],
        "windows": [],
        "seconds": [],
        "complete": True,
        "aborted": "",
        "incident": "",
        "lost_workers": "",
        "sockets_exhausted": 0,
        "ladder": [],
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
        tuple(measurements(found, plan(), TARGETS)),
        overrides=tuple(overrides(reasons)),
    ).verdict


def test_a_quick_shop_and_an_idle_generator_pass() -> None:
    assert judged(summary()) is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generator_cpu_ratio": 0.95}, "95% of a core"),
        ({"lateness": {"p99_s": 0.4}}, "started 0.40 s late"),
        ({"waking": {"p99_s": 0.08}}, "woke 0.08 s late"),
        ({"arrivals_missed": 3}, "3 arrivals were never started"),
    ],
    ids=["processor", "lateness", "starved", "missed arrivals"],
)
def test_a_run_whose_generator_did_not_keep_up_is_invalid(
    changes: dict[str, Any], reason: str
) -> None:
    (said,) = reasons_to_distrust(summary(**changes))
    assert reason in said
    assert judged(summary(**changes)) is Verdict.INVALID


def test_one_slow_step_fails_the_run_although_the_whole_is_quick() -> None:
    steps = summary()["by_step"]
    slow = {**steps, "pay": {**steps["pay"], "p95_s": 0.25}}
    found = {m.name: m.verdict for m in measurements(summary(by_step=slow), plan(), TARGETS)}
    assert found["p95_s"] is Verdict.PASS
    assert found["p95_s.front"] is Verdict.PASS
    assert found["p95_s.pay"] is Verdict.FAIL
    assert judged(summary(by_step=slow)) is Verdict.FAIL


def test_failed_visits_are_measured_against_all_visits() -> None:
    found = {m.name: m for m in measurements(summary(visits_failed=2), plan(), TARGETS)}
    assert found["error_ratio"].value == 0.002
    assert found["error_ratio"].verdict is Verdict.FAIL


def test_a_run_without_visits_is_no_pass() -> None:
    found = summary(visits=0, requests=0, steps=NOTHING, by_step={}, lateness=NOTHING)
    assert judged(found) is Verdict.INCONCLUSIVE


def test_a_run_that_was_ended_early_says_so() -> None:
    assert reason_cut_short(summary(), 65.0) == []
    (said,) = reason_cut_short(summary(duration_s=12.0, complete=False), 65.0)
    assert said == "INVALID: the run ended after 12 of 65 s"


def worth(targets: dict[str, str], found: dict[str, Any], *stages: Stage) -> dict[str, Any]:
    parsed = {name: Target.parse(text) for name, text in targets.items()}
    return {m.name: m for m in measurements(found, plan(*stages), parsed)}


def test_a_route_a_stage_and_a_journey_can_have_targets_of_their_own() -> None:
    row = {"visits": 10, "visits_failed": 1, "steps": {**NOTHING, "p95_s": 0.3}}
    found = summary(by_stage=[{"name": "hold", **row}], by_journey={"checkout": row})
    wanted = {
        "p99_s.route:POST /pay": "< 0.1",
        "p95_s.stage:hold": "< 0.2",
        "error_ratio.journey:checkout": "< 0.2",
    }
    judged_by_name = worth(wanted, found)
    assert [judged_by_name[name].verdict for name in wanted] == ["FAIL", "FAIL", "PASS"]
    assert "p50_s.route:POST /pay" not in judged_by_name  # nobody asked for it


def test_steps_and_routes_have_an_error_ratio_of_their_own() -> None:
    rows = summary()
    step = {**rows["by_step"]["pay"], "count": 200, "failed": 3}
    route = {**rows["by_route"]["POST /pay"], "count": 400, "failed": 1}
    found = summary(by_step={"pay": step, "front": NOTHING}, by_route={"POST /pay": route})
    wanted = {
        "error_ratio.pay": "<= 0.01",
        "error_ratio.route:POST /pay": "<= 0.01",
        "error_ratio.front": "<= 0.01",
    }
    judged_by_name = worth(wanted, found)
    assert [judged_by_name[name].value for name in wanted] == [0.015, 0.0025, None]
    assert [judged_by_name[name].verdict for name in wanted] == ["FAIL", "PASS", "INCONCLUSIVE"]


def test_throughput_is_what_succeeded_in_the_seconds_that_count() -> None:
    """The warm-up of 5 s is left out; of the hold of 60 s the run reached 50 s."""
    rows = summary()
    step = {**rows["by_step"]["pay"], "count": 800, "failed": 50}
    stage = {"visits": 400, "visits_failed": 100, "steps": NOTHING}
    found = summary(
        duration_s=55.0,
        visits=1000,
        visits_failed=250,
        by_step={"pay": step},
        by_stage=[{"name": "warm-up", **stage}, {"name": "hold", **stage}],
        by_journey={"checkout": stage},
    )
    wanted = {
        "throughput_per_s": (">= 15.1", 15.0),
        "throughput_per_s.pay": (">= 15", 15.0),
        "throughput_per_s.stage:warm-up": (">= 60", 60.0),
        "throughput_per_s.stage:hold": (">= 6", 6.0),
        "throughput_per_s.journey:checkout": (">= 6", 6.0),
        "throughput_per_s.route:POST /pay": (">= 2", 2.0),
    }
    judged_by_name = worth({name: text for name, (text, _) in wanted.items()}, found)
    assert {name: judged_by_name[name].value for name in wanted} == {
        name: value for name, (_, value) in wanted.items()
    }
    assert judged_by_name["throughput_per_s"].verdict is Verdict.FAIL
    assert judged_by_name["throughput_per_s.pay"].verdict is Verdict.PASS
    assert "throughput_per_s" not in worth({}, found)


def test_a_target_for_what_did_not_occur_is_no_pass() -> None:
    found = worth({"p95_s.route:GET /typo": "< 1"}, summary())
    assert found["p95_s.route:GET /typo"].verdict is Verdict.INCONCLUSIVE


def test_a_target_can_hold_in_every_window_with_enough_in_it() -> None:
    windows = [
        {"count": count, "p50_s": p95_s / 2, "p95_s": p95_s, "p99_s": p95_s * 2}
        for count, p95_s in ((100, 0.1), (100, 0.4), (3, 9.0))
    ]
    found = worth({"p95_s.worst-10s": "< 0.2"}, summary(windows=windows))["p95_s.worst-10s"]
    assert (found.value, found.verdict) == (0.4, Verdict.FAIL)


def second(number: int, failed: int = 0, p95_s: float = 0.1) -> dict[str, Any]:
    return {"second": number, "width_s": 1, "failed": failed, "p95_s": p95_s}


@pytest.mark.parametrize(
    ("bad_seconds", "recovered_s"),
    [([], 0.0), ([12, 38], 0.0), ([40, 45], 6.0), ([40, 78], 39.0), ([79], None)],
    ids=["never bad", "bad at the peak", "after six seconds", "late", "still bad at the end"],
)
def test_recovery_is_timed_from_the_end_of_the_peak(
    bad_seconds: list[int], recovered_s: float | None
) -> None:
    seconds = [second(n, p95_s=0.5 if n in bad_seconds else 0.1) for n in range(80)]
    found = summary(seconds=seconds, duration_s=80.0)
    judged_by_name = worth({"p95_s": "< 0.2"}, found, *FLASH_SALE.stages())
    assert judged_by_name["time_to_recover_s"].value == recovered_s


@pytest.mark.parametrize(
    ("bad_from_s", "duration_s", "said"),
    [
        (60, 80.0, ["FAIL: 40.0 s after the peak the shop had not recovered"]),
        (79, 80.0, ["FAIL: 40.0 s after the peak the shop had not recovered"]),
        (80, 80.0, []),
        (60, 70.0, []),  # ended before: nobody knows
    ],
)
def test_a_shop_that_has_not_recovered_by_the_end_fails(
    bad_from_s: int, duration_s: float, said: list[str]
) -> None:
    seconds = [second(n, failed=n >= bad_from_s) for n in range(80)]
    found = summary(seconds=seconds, duration_s=duration_s)
    assert failures(found, plan(*FLASH_SALE.stages()), TARGETS) == said
    recovered = worth({"time_to_recover_s": "<= 600"}, found, *FLASH_SALE.stages())
    expected = Verdict.PASS if bad_from_s == 80 else Verdict.INCONCLUSIVE
    assert recovered["time_to_recover_s"].verdict is expected
    assert failures(found, plan(), TARGETS) == []  # without a peak there is nothing to recover from


def test_orders_that_nobody_accounted_for_are_no_pass() -> None:
    wanted = {"orders_lost": "= 0", "orders_acknowledged": ">= 10"}
    judged_by_name = worth(wanted, summary())
    assert {judged_by_name[name].verdict for name in wanted} == {Verdict.INCONCLUSIVE}


def test_a_target_for_orders_takes_the_place_of_the_usual_one() -> None:
    counted = [
        Measurement("orders_acknowledged", 9, "orders"),
        Measurement("orders_lost", 1, "orders", Target("=", 0)),
        Measurement("double_charges", 1, "orders", Target("=", 0)),
    ]
    targets = {"orders_acknowledged": Target(">=", 10), "orders_lost": Target("<=", 1)}
    found = {m.name: m for m in measurements(summary(), plan(), targets, counted)}
    assert found["orders_acknowledged"].verdict is Verdict.FAIL
    assert found["orders_lost"].verdict is Verdict.PASS
    assert found["double_charges"].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("change", "idle"),
    [
        ({}, False),
        ({"lateness": {"p99_s": 0.4}}, True),
        ({"arrivals_missed": 3}, True),
        ({"arrivals_missed": 3, "waking": {"p99_s": 0.08}}, False),
        ({"arrivals_missed": 3, "generator_cpu_ratio": 0.95}, False),
    ],
)
def test_who_waited_for_the_shop_and_not_for_the_generator_is_told(
    change: dict[str, Any], idle: bool
) -> None:
    said = " ".join(remarks(summary(**change), plan()))
    assert ("kept all 10 virtual shoppers waiting" in said) is idle


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("p95s", "no measurement 'p95s'; there are: p50_s, p95_s"),
        ("orders_lost.pay", "no measurement 'orders_lost.pay'"),
        ("p95_s.pay", ""),
        ("error_ratio.route:POST /pay", ""),
        ("throughput_per_s", ""),
        ("time_to_recover_s", ""),
    ],
)
def test_a_target_of_no_measurement_is_told_from_one(name: str, said: str) -> None:
    assert misnamed(name).startswith(said)
    assert bool(misnamed(name)) is bool(said)


def test_requests_per_second_are_those_of_the_time_that_counts() -> None:
    assert worth({}, summary(requests=3000))["requests_per_s"].value == 50.0
    cut = summary(requests=3000, duration_s=35.0)
    assert worth({}, cut)["requests_per_s"].value == 100.0
