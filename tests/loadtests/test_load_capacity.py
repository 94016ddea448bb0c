"""From the steps of a run to what the shop can carry, and how many instances follow."""

import re
from dataclasses import replace
from typing import Any

import pytest
from stepped_run import RATES, SHOP, run_of

from loadtests import sizing
from loadtests.capacity import Capacity, capacity
from loadtests.capacity_report import conclusions
from loadtests.sizing import Assumptions, size, visits_of
from storewatch.core.targets import Verdict


def said(found: Capacity, orders_per_s: float | None = None) -> tuple[str, list[Verdict]]:
    assumed = Assumptions()
    ratio, planned = found.order_ratio or 1.0, found.planned_per_s or 0.0
    sizings = {}
    if orders_per_s is not None:
        one = size(orders_per_s / ratio, planned, found.best_per_s, assumed)
        sizings[f"{orders_per_s:g} orders/s"] = one
    notes, verdicts = conclusions(found, sizings, orders_per_s)
    return "\n".join(notes), verdicts


def test_concurrency_is_little_s_law_and_throughput_what_was_answered_within_the_step() -> None:
    found = capacity(*run_of(SHOP, (*RATES, 500, 600)))
    first, last = found.steps[0], found.steps[-1]
    assert first.name == "step-1"
    assert SHOP.at(first.concurrency) == pytest.approx(40, rel=0.05)
    assert first.per_s == pytest.approx(40)
    assert last.arrived_per_s == 600
    assert last.per_s == pytest.approx(SHOP.highest(200), rel=0.01)
    assert last.concurrency == 200  # what waits for a virtual shopper is not in the shop
    assert (first.kept_up, last.kept_up) == (True, False)
    assert found.reached
    assert found.fit is not None
    assert found.fit.capacity.value == pytest.approx(SHOP.highest(200), rel=0.02)
    assert said(found)[1] == []


def test_a_run_that_never_met_the_limit_says_so() -> None:
    found = capacity(*run_of(SHOP, RATES))
    text, verdicts = said(found)
    assert "the limit was not reached: the shop kept up with every step, the last at 320" in text
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert said(found, 10)[1] == []  # a question that needs no more than was seen is answered


def test_steps_that_failed_or_broke_off_are_left_out_by_name() -> None:
    summary, plan = run_of(SHOP, (*RATES, 500, 600))
    summary["by_stage"][9]["visits_failed"] = summary["by_stage"][9]["visits"] // 10
    summary["duration_s"] -= 20
    found = capacity(summary, plan)
    text, _ = said(found)
    assert "step-9 is left out: 10% of its visits failed (limit 5%)" in text
    assert "step-10 is left out: it was not held to its end" in text
    assert found.best_per_s == pytest.approx(320)


def test_failed_visits_and_requests_are_no_throughput() -> None:
    summary, plan = run_of(SHOP, RATES)
    row = summary["by_stage"][5]
    row["visits_failed"] = row["visits"] // 50
    row["requests_failed"] = row["requests"] // 50
    step = capacity(summary, plan).steps[4]
    assert step.per_s == pytest.approx(200 * 0.98 * 0.98, rel=1e-3)


def test_too_few_steps_are_inconclusive() -> None:
    found = capacity(*run_of(SHOP, RATES[:5]))
    text, verdicts = said(found)
    assert found.fit is None
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert "5 loads can be used, a fit needs 6" in text


def test_a_law_that_does_not_describe_the_run_is_inconclusive() -> None:
    summary, plan = run_of(SHOP, RATES)
    for row, times in zip(summary["by_stage"], (1, 9, 1, 7, 0.3, 5, 0.2, 6, 0.1), strict=True):
        row["visit"]["mean_s"] *= times  # slow and quick by turns, whatever the load
    text, verdicts = said(capacity(summary, plan))
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert re.search(r"the law explains -?\d+% of the throughput \(limit 90%\)", text)


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"generator_cpu_ratio": 0.95}, "the generator used 95% of a core (limit 90 %)"),
        ({"waking": {"p99_s": 0.2}}, "the generator was starved: 1 % of the time it woke 0.20 s"),
        ({"sockets_exhausted": 7}, "7 requests found no socket left on the generator's machine"),
        ({"lost_workers": "1 of 2 workers lost after 9 s"}, "1 of 2 workers lost after 9 s"),
    ],
)
def test_the_limit_of_the_generator_is_not_that_of_the_shop(
    figures: dict[str, Any], why: str
) -> None:
    summary, plan = run_of(SHOP, (*RATES, 500))
    text, verdicts = said(capacity({**summary, **figures}, plan))
    assert verdicts == [Verdict.INVALID]
    assert re.search(rf"^INVALID: {re.escape(why)}", text, re.MULTILINE)


def test_visits_that_wait_for_a_connection_do_not_make_a_capacity_invalid() -> None:
    summary, plan = run_of(SHOP, (*RATES, 500))
    full = {"lateness": {"p99_s": 8.0}, "arrivals_missed": 900}
    assert said(capacity({**summary, **full}, plan))[1] == []


def test_plans_count_on_the_lower_bound_and_on_no_more_than_was_seen() -> None:
    summary, plan = run_of(SHOP, (*RATES, 500, 600))
    for row, times in zip(summary["by_stage"][5:], (0.93, 1.08, 0.94, 1.06, 0.9, 1.1), strict=True):
        row["visit"]["mean_s"] *= times
        row["requests"] = round(row["requests"] * times)
    found = capacity(summary, plan)
    assert found.fit is not None
    assert found.planned_per_s == found.fit.capacity.low
    assert found.fit.capacity.low < 0.99 * found.fit.capacity.value
    slower = replace(found, steps=found.steps[:3])
    assert slower.planned_per_s == slower.best_per_s == pytest.approx(120, rel=0.05)


def test_instances_follow_from_the_lower_bound_and_the_headroom() -> None:
    assumed = Assumptions(instances=2, headroom=0.3)
    one = size(per_s=350, planned_per_s=200, best_per_s=210, assumed=assumed)
    assert (one.instances, one.measured) == (5, True)  # 70 each
    assert size(420, 200, 210, assumed).measured
    assert not size(421, 200, 210, assumed).measured
    assert size(1, 200, 210, assumed).instances == 1


def test_shared_work_bounds_what_instances_can_do() -> None:
    shared = Assumptions(headroom=0.0, contention=0.01)
    ten = size(900, 100, 100, shared)
    assert ten.instances is not None
    carried = 100 * ten.instances / (1 + 0.01 * (ten.instances - 1))
    fewer = 100 * (ten.instances - 1) / (1 + 0.01 * (ten.instances - 2))
    assert fewer < 900 <= carried
    assert size(10_000, 100, 100, shared).instances is None  # 100 times one is never reached


def test_the_plan_for_ten_million_shoppers_is_that_of_the_response_time_law() -> None:
    per_s = visits_of(10_000_000, response_s=0.2, think_time_s=7.0, requests_per_visit=6)
    assert per_s == pytest.approx(10_000_000 / 7.2 / 6)
    assert sizing.SHOPPERS[-1] == 10_000_000


def test_an_answer_far_beyond_what_was_measured_is_a_hypothesis() -> None:
    found = capacity(*run_of(SHOP, (*RATES, 500, 600)))
    text, verdicts = said(found, 10_000)
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert "a hypothesis beyond 2 times" in text
