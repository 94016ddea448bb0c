import statistics
from itertools import islice, pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from loadtests.arrivals import Stage, even, poisson, shopper_number
from loadtests.plan import Plan, Share
from loadtests.profiles import MIXES, ProfileSettings
from loadtests.settings import LoadSettings


def constant(rate: float, duration_s: float) -> Stage:
    return Stage("hold", duration_s, rate, rate)


def test_arrivals_come_evenly_and_none_at_the_end_or_after() -> None:
    assert list(even([constant(4, 1.0)])) == [0.0, 0.25, 0.5, 0.75]


def test_arrivals_do_not_drift_over_an_hour() -> None:
    moments = list(even([constant(3, 3600)]))
    assert len(moments) == 3 * 3600
    assert moments[-1] == (3 * 3600 - 1) / 3


def test_a_rate_below_one_arrives_once_in_a_while() -> None:
    assert list(islice(even([constant(0.1, 100)]), 3)) == [0.0, 10.0, 20.0]


def test_a_ramp_has_as_many_arrivals_as_its_mean_rate_says() -> None:
    ramp = Stage("ramp", 10.0, 10, 50)
    moments = list(even([ramp]))
    assert len(moments) == ramp.journeys == 300
    assert sum(moment < 5 for moment in moments) == pytest.approx(100, abs=1)  # 10 to 30 a second
    gaps = [after - before for before, after in pairwise(moments)]
    assert gaps[0] == pytest.approx(1 / 10, rel=0.02)
    assert gaps[-1] == pytest.approx(1 / 50, rel=0.02)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(gaps))


def test_a_fall_to_nothing_ends_there() -> None:
    assert len(list(even([Stage("fall", 10.0, 20, 0)]))) == 100


def test_stages_follow_each_other_without_a_gap_or_a_double() -> None:
    moments = list(even([constant(10, 1.05), constant(5, 2.0)]))
    assert len(moments) == 21
    assert moments[10] == pytest.approx(1.0)
    assert moments[11] == pytest.approx(1.05 + 0.5 / 5)  # half an arrival is left over


def test_poisson_arrivals_have_the_rate_and_the_scatter_of_independent_shoppers() -> None:
    moments = list(poisson([constant(50, 400)], "seed"))
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == pytest.approx(20_000, abs=4 * 20_000**0.5)
    assert statistics.mean(gaps) == pytest.approx(0.02, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.03)  # exponential: both the same
    assert moments == list(poisson([constant(50, 400)], "seed"))
    assert moments != list(poisson([constant(50, 400)], "other"))


def stages(**written: Any) -> dict[str, tuple[float, float, float, bool]]:
    found = ProfileSettings.model_validate(written).stages()
    return {s.name: (s.duration_s, s.start_rate, s.end_rate, s.counts) for s in found}


def test_a_flash_sale_is_ten_times_the_rate_within_ten_seconds_and_watched_afterwards() -> None:
    assert stages(shape="spike", rate=5) == {
        "warm-up": (5.0, 5, 5, False),
        "rise": (10.0, 5, 50, False),
        "peak": (60.0, 50, 50, True),
        "fall": (10.0, 50, 5, False),
        "recovery": (60.0, 5, 5, False),
    }


def test_a_hold_counts_from_the_end_of_the_ramp() -> None:
    assert stages(shape="ramp", rate=5, to=50, rise="2m", hold="10m") == {
        "warm-up": (5.0, 5, 5, False),
        "ramp": (120.0, 5, 50, False),
        "hold": (600.0, 50, 50, True),
    }


def test_steps_are_each_held() -> None:
    found = stages(shape="steps", rate=10, by=5, steps=3, hold="20s")
    assert found["step-3"] == (20.0, 20, 20, True)
    assert len(found) == 4


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "a constant profile needs rate"),
        ({"shape": "ramp", "rate": 5}, "a ramp profile needs to"),
        ({"rate": 5, "factor": 3}, "a constant profile has no factor; it has hold, rate"),
        ({"shape": "replay", "file": "/no/such"}, "/no/such cannot be read: No such file"),
        ({"rate": 5, "mix": "selling"}, "no mix 'selling'; write one of browsing, shopping"),
        ({"shape": "zigzag", "rate": 5}, "'breakpoint', 'replay' or 'closed'"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ProfileSettings.model_validate(written)


def test_the_presets_order_as_often_as_those_of_tpc_w() -> None:
    assert {name: mix["checkout"] for name, mix in MIXES.items()} == {
        "browsing": 5,
        "shopping": 20,
        "ordering": 50,
    }
    assert ProfileSettings.model_validate({"rate": 1, "mix": "ordering"}).mix == MIXES["ordering"]
    assert all(sum(mix.values()) == 100 for mix in MIXES.values())


def test_load_never_takes_the_shoppers_of_timed_journeys_and_proofs() -> None:
    numbers = [shopper_number(arrival) for arrival in range(5000)]
    assert len(set(numbers)) == len(numbers)
    assert {number % 500 for number in numbers} == set(range(480))


def test_what_a_shopper_does_has_nothing_to_do_with_when_it_comes() -> None:
    shares = (Share("browse", "walks:browse", 3), Share("buy", "walks:buy", 1))
    held = (constant(50, 200),)
    plan = Plan("run", shares, "http://shop", None, held, 1.0, 1, 1.0, spacing="poisson")
    arrivals = list(plan.arrivals())
    gaps = [(after[0] - before[0], after[1]) for before, after in pairwise(arrivals)]
    mean_s = {
        name: statistics.mean(gap for gap, one in gaps if one == name) for name in ("browse", "buy")
    }
    assert mean_s["buy"] == pytest.approx(mean_s["browse"], rel=0.1)
    assert arrivals == list(plan.arrivals())


def test_a_mix_of_a_journey_that_is_not_configured_is_refused_before_the_run() -> None:
    written = {
        "base_url": "http://shop",
        "journeys": {"browse": "walks:browse"},
        "profiles": {"sale": {"rate": 1, "mix": {"browse": 1, "buy": 1}}},
    }
    with pytest.raises(ValidationError, match=r"profiles\.sale\.mix: no journey 'buy'; there are"):
        LoadSettings.model_validate(written)
