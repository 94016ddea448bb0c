"""Comparisons of releases by simulated runs: what is found, what is not flagged, what is open."""

import random
from collections import Counter
from math import exp
from typing import Any

import pytest

from loadtests.comparison import (
    Finding,
    compare,
    corrected,
    fewest_runs,
    measurements,
    too_few,
)
from loadtests.ranks import Shift
from storewatch.core.targets import Verdict, worst

STEPS = ("home", "product", "cart", "address", "pay", "confirm")


def simulated(
    chance: random.Random, count: int, noise: float, slower: float = 1.0, step: str = ""
) -> list[dict[str, float | None]]:
    """Return runs of a checkout whose p95 differ by `noise`, mostly together.

    Args:
        chance: the random numbers.
        count: how many runs.
        noise: standard deviation of the logarithm of a p95 from run to run.
        slower: factor on the whole.
        step: the one step that has the factor; empty: all.
    """
    runs = []
    for _ in range(count):
        shared = chance.gauss(0, 0.8 * noise)
        factor = {name: slower if step in {"", name} else 1.0 for name in STEPS}
        run: dict[str, float | None] = {
            f"p95_s.{name}": 0.06 * factor[name] * exp(shared + chance.gauss(0, 0.6 * noise))
            for name in STEPS
        }
        whole = 0.1 * (1.0 if step else slower) * exp(shared + chance.gauss(0, 0.6 * noise))
        runs.append({"p50_s": 0.03, "p95_s": whole, "p99_s": 0.2, **run, "error_ratio": 0.0})
    return runs


def verdict(found: list[Finding]) -> Verdict:
    return worst([one.verdict for one in found if one.verdict is not None])


def judge(*sides: list[dict[str, float | None]], ratio: float = 1.05) -> list[Finding]:
    return compare(sides[0], sides[1], ratio, 0.001)


def of(found: list[Finding], name: str) -> Finding:
    return next(one for one in found if one.name == name)


def plain(*p95: float, **more: Any) -> list[dict[str, float | None]]:
    return [{"p95_s": one, "error_ratio": 0.0, **more} for one in p95]


@pytest.mark.parametrize(("noise", "runs"), [(0.02, 5), (0.05, 5), (0.05, 10), (0.1, 20)])
def test_a_build_that_is_the_same_is_flagged_in_at_most_5_of_100_comparisons(
    noise: float, runs: int
) -> None:
    chance = random.Random(20)
    found = Counter(
        verdict(judge(simulated(chance, runs, noise), simulated(chance, runs, noise)))
        for _ in range(100)
    )
    assert found[Verdict.FAIL] <= 5


@pytest.mark.parametrize(("noise", "runs"), [(0.02, 5), (0.03, 7), (0.05, 10), (0.08, 20)])
def test_a_regression_of_10_percent_is_found(noise: float, runs: int) -> None:
    chance = random.Random(21)
    found = Counter(
        verdict(judge(simulated(chance, runs, noise), simulated(chance, runs, noise, 1.1)))
        for _ in range(100)
    )
    assert found[Verdict.FAIL] >= 95
    assert found[Verdict.PASS] == 0


def test_a_regression_of_a_single_step_is_found_by_name() -> None:
    chance = random.Random(22)
    found = judge(simulated(chance, 10, 0.03), simulated(chance, 10, 0.03, 1.1, "pay"))
    assert {one.name for one in found if one.verdict is Verdict.FAIL} == {"p95_s.pay"}
    assert of(found, "p95_s.pay").dominance == pytest.approx(1.0, abs=0.2)


def test_a_quiet_build_that_is_the_same_passes() -> None:
    chance = random.Random(23)
    found = judge(simulated(chance, 10, 0.02), simulated(chance, 10, 0.02))
    assert {one.name: one.verdict for one in found if one.tolerated} == dict.fromkeys(
        ["p95_s", *(f"p95_s.{name}" for name in STEPS), "error_ratio"], Verdict.PASS
    )


def test_a_faster_build_passes() -> None:
    chance = random.Random(24)
    assert verdict(judge(simulated(chance, 5, 0.02), simulated(chance, 5, 0.02, 0.8))) == "PASS"


def test_noise_that_hides_what_is_tolerated_is_inconclusive_and_says_how_many_runs_would_tell() -> (
    None
):
    chance = random.Random(25)
    found = of(judge(simulated(chance, 5, 0.08), simulated(chance, 5, 0.08)), "p95_s")
    assert found.verdict is Verdict.INCONCLUSIVE
    needed = found.runs_needed
    assert needed is not None and 15 < needed < 150
    told = Counter(
        of(judge(simulated(chance, 70, 0.08), simulated(chance, 70, 0.08)), "p95_s").verdict
        for _ in range(20)
    )
    assert told[Verdict.PASS] >= 16


def test_a_sure_but_small_slowdown_is_no_failure() -> None:
    before = [0.1000, 0.1001, 0.1002, 0.1003, 0.1004, 0.1005]
    found = judge(plain(*before), plain(*(1.02 * one for one in before)))
    assert of(found, "p95_s").p == pytest.approx(2 / 924)
    assert verdict(found) is Verdict.PASS
    assert verdict(judge(plain(*before), plain(*(1.02 * one for one in before)), ratio=1.01)) == (
        Verdict.FAIL
    )


def test_a_large_slowdown_that_may_be_chance_is_inconclusive() -> None:
    found = judge(plain(1, 1.1, 1.2, 1.3, 2.0), plain(1.15, 1.25, 1.4, 1.5, 1.6))
    assert of(found, "p95_s").verdict is Verdict.INCONCLUSIVE


def test_four_runs_tell_nothing_however_far_apart() -> None:
    found = judge(plain(1, 1, 1, 1), plain(9, 9, 9, 9))
    assert of(found, "p95_s").p is None
    assert verdict(found) is Verdict.INCONCLUSIVE
    assert verdict(judge(plain(1, 1, 1, 1, 1), plain(9, 9, 9, 9, 9))) is Verdict.FAIL


def test_more_measurements_need_more_runs() -> None:
    assert [fewest_runs(count) for count in (1, 12, 13, 46, 47)] == [5, 5, 6, 6, 7]
    assert too_few(4, 30, 1)
    many = {f"p95_s.step-{n}": 1.0 + n for n in range(13)}
    slow = {name: 9 * value for name, value in many.items()}
    found = judge(plain(0.9, 0.9, 0.9, 0.9, 0.9, **many), plain(9, 9, 9, 9, 9, **slow))
    assert verdict(found) is Verdict.INCONCLUSIVE


def test_p_is_corrected_as_holm_did() -> None:
    shift = Shift(1.0, 1.0, 1.0)
    raw = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    runs = (1.0,) * 20
    found = corrected([Finding(n, runs, runs, shift, 1.0, p, 0.05) for n, p in raw.items()])
    # Source: 4 x 0.005, 3 x 0.01, 2 x 0.03, and never less than the one before.
    assert {one.name: one.p for one in found} == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_what_is_only_shown_costs_nothing() -> None:
    runs = (1.0,) * 20
    shown = Finding("p50_s", runs, runs, Shift(0, 0, 0), 0.0, 0.001, None)
    judged = Finding("p95_s", runs, runs, Shift(0, 0, 0), 0.0, 0.03, 0.05)
    found = corrected([shown, judged])
    assert (found[0].verdict, found[0].p, found[1].p) == (None, None, 0.03)


def test_ties_are_no_evidence() -> None:
    same = judge(plain(*[0.057] * 6), plain(*[0.057] * 6))
    assert (of(same, "p95_s").p, verdict(same)) == (1.0, Verdict.PASS)


def test_the_only_step_of_a_journey_is_asked_once() -> None:
    runs = [{"p95_s": v, "p95_s.look": v, "error_ratio": 0.0} for v in (1.0, 1.1, 1.2, 1.3, 1.4)]
    assert [one.name for one in judge(runs, runs) if one.tolerated] == ["p95_s", "error_ratio"]


def test_a_step_that_one_release_does_not_have_is_no_pass() -> None:
    before = plain(*[0.1] * 6, **{"p95_s.pay": 0.05})
    found = judge(before, plain(*[0.1] * 6))
    assert of(found, "p95_s").verdict is Verdict.PASS
    assert of(found, "p95_s.pay").verdict is Verdict.INCONCLUSIVE
    assert verdict(found) is Verdict.INCONCLUSIVE


def test_runs_without_any_figure_are_no_pass() -> None:
    assert verdict(judge([{}] * 6, [{}] * 6)) is Verdict.INCONCLUSIVE
    assert verdict(judge([], [])) is Verdict.INCONCLUSIVE
    nothing = plain(*[0.0] * 6)
    assert of(judge(nothing, nothing), "p95_s").verdict is Verdict.INCONCLUSIVE


def test_a_release_that_fails_fast_is_not_fast() -> None:
    before = plain(0.1, 0.101, 0.102, 0.103, 0.104)
    after = plain(0.05, 0.051, 0.052, 0.053, 0.054)
    for run in after:
        run["error_ratio"] = 0.02
    found = judge(before, after)
    assert of(found, "p95_s").verdict is Verdict.PASS
    assert of(found, "error_ratio").verdict is Verdict.FAIL
    shown = of(found, "error_ratio").shown()
    assert shown is not None and shown.estimate == pytest.approx(0.02)


def test_evidence_says_what_the_findings_say() -> None:
    chance = random.Random(26)
    noisy = [{**run, "p95_s.cart": chance.gauss(1, 0.2)} for run in simulated(chance, 10, 0.02)]
    after = [
        {**run, "p95_s.cart": chance.gauss(1, 0.2)}
        for run in simulated(chance, 10, 0.02, 1.2, "pay")
    ]
    found = judge(noisy, after)
    written = {one.name: one for one in measurements(found)}
    assert written["p95_ratio"].verdict is Verdict.PASS
    assert str(written["p95_ratio"].target) == "< 1.05"
    assert written["p95_ratio.pay"].verdict is Verdict.FAIL
    assert written["p95_ratio.pay"].value == pytest.approx(1.2, rel=0.03)
    assert written["p95_ratio.cart"].value is None
    assert written["p95_ratio.cart"].verdict is Verdict.INCONCLUSIVE
    low, high = written["p95_ratio_low.pay"].value, written["p95_ratio_high.pay"].value
    assert low is not None and high is not None and low < 1.2 < high
    assert {"p50_ratio_estimate", "p99_ratio_high", "p95_ratio_p", "p95_ratio_dominance.pay"} <= (
        set(written)
    )
    assert str(written["error_ratio_increase"].target) == "< 0.001"
    assert {one.name for one in written.values() if one.verdict} == {
        "error_ratio_increase",
        "p95_ratio",
        *(f"p95_ratio.{step}" for step in STEPS),
    }
