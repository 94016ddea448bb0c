"""The search for the rate at which a target breaks."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from load_shop import SmallShop, settings_for

from loadtests.figures import StageFigures, Timed
from loadtests.histogram import bucket
from loadtests.ladder import Ladder, bracket
from loadtests.process import RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.prospects import held, hopeless
from loadtests.verdict import measurements, reasons_to_distrust
from storewatch.core.targets import Target

LADDER = Ladder(rate=10, by=10, steps=8, hold_s=30, pause_s=5, precision_ratio=0.05)


def climbed(ladder: Ladder, capacity: float) -> list[tuple[float, bool]]:
    """Climb where everything up to a capacity holds."""
    outcomes: list[tuple[float, bool]] = []
    while (rate := ladder.next_rate(outcomes)) is not None:
        outcomes.append((rate, rate <= capacity))
    return outcomes


@pytest.mark.parametrize("capacity", [3.0, 10.0, 47.3, 79.9])
def test_the_breaking_point_is_known_to_the_precision_that_was_asked_for(capacity: float) -> None:
    outcomes = climbed(LADDER, capacity)
    sustained, broke = bracket(outcomes)
    assert sustained is not None
    assert broke is not None
    assert sustained <= capacity < broke
    assert broke - sustained <= 0.05 * max(broke, 10)
    assert len(outcomes) * 35 <= LADDER.longest_s


def test_it_goes_up_by_steps_until_one_breaks_and_then_halves_the_gap() -> None:
    rates = [rate for rate, _ in climbed(LADDER, 34)]
    assert rates == [10, 20, 30, 40, 35, 32.5, 33.75]


def test_a_shop_that_holds_everything_ends_the_search_without_a_breaking_point() -> None:
    outcomes = climbed(LADDER, 1000)
    assert bracket(outcomes) == (80, None)
    assert len(outcomes) == 8


def test_a_shop_that_holds_nothing_ends_the_search_too() -> None:
    outcomes = climbed(LADDER, 0)
    assert bracket(outcomes)[0] is None
    assert len(outcomes) < 12


TARGETS = {"p95_s": Target("<", 0.2), "error_ratio": Target("<=", 0.01)}
ROW = {"arrivals": 100, "visits": 100, "visits_failed": 0}


def steps(slow: int = 0, failed: int = 0, pay_slow: int = 0) -> dict[str, Timed]:
    """Return two steps of a hundred journeys each, of which so many were slow or failed."""
    found = {"look": Timed(), "pay": Timed()}
    for number in range(100):
        found["look"].count(bucket(0.5 if number < slow else 0.05), ok=number >= failed)
        found["pay"].count(bucket(0.5 if number < pay_slow else 0.05), ok=True)
    return found


@pytest.mark.parametrize(
    ("change", "found", "well"),
    [
        ({}, steps(), True),
        ({"visits_failed": 1}, steps(), True),
        ({"visits_failed": 2}, steps(), False),
        ({"visits": 99}, steps(), False),
        ({"visits": 0, "arrivals": 0}, {}, False),
        ({}, steps(slow=5), True),
        ({}, steps(slow=6), False),
        ({}, steps(pay_slow=8), False),  # of all steps 4 %
        ({}, steps(failed=3), False),
    ],
    ids=[
        *("well", "few errors", "errors", "one still under way", "nobody came"),
        *("few slow", "slow", "one of the steps slow", "one of the steps failed"),
    ],
)
def test_a_step_holds_when_all_is_done_and_no_target_missed(
    change: dict[str, Any], found: dict[str, Timed], well: bool
) -> None:
    targets = {**TARGETS, "error_ratio.look": Target("<=", 0.02)}
    assert held({**ROW, **change}, found, targets) is well


def recorded(visits: int, failed: int) -> list[StageFigures]:
    figures = StageFigures()
    cell = figures.cells["buy"]
    cell.visits, cell.failed = visits, failed
    return [figures]


@pytest.mark.parametrize(
    ("failed", "found", "journeys", "said"),
    [
        (0, steps(), 1000, ""),
        (10, steps(slow=50, pay_slow=50), 1000, ""),  # all that is to come may go well
        (11, steps(), 1000, "error_ratio <= 0.01 is out of reach: it will be 1.10% at best"),
        (0, steps(slow=51, pay_slow=51), 1000, "p95_s.look < 0.2 is out of reach: 5.1% of all l"),
        (0, steps(pay_slow=60), 1000, "p95_s.pay < 0.2 is out of reach: 6.0% of all pay took"),
        (0, steps(failed=21), 1000, "error_ratio.look <= 0.02 is out of reach: it will be 2.10%"),
        (0, steps(failed=20), 1000, ""),
        (2, steps(), 100, "error_ratio"),
    ],
)
def test_a_target_is_hopeless_when_even_a_perfect_rest_would_miss_it(
    failed: int, found: dict[str, Timed], journeys: float, said: str
) -> None:
    targets = {**TARGETS, "error_ratio.look": Target("<=", 0.02)}
    told = hopeless(recorded(100, failed), found, journeys, targets)
    assert told.startswith(said)
    assert bool(told) is bool(said)


def test_a_run_in_which_nothing_was_recorded_is_not_given_up() -> None:
    assert hopeless([StageFigures()], {}, 100, TARGETS) == ""


def test_the_breaking_point_of_a_real_server_is_found(
    shop: SmallShop, start: Callable[..., RunningLoad]
) -> None:
    """The shop serves one at a time and takes 20 ms: it breaks at 50 a second."""
    shop.serves_one_at_a_time(0.02)
    wanted = ProfileSettings.model_validate(
        {
            "shape": "breakpoint",
            "rate": 10,
            "by": 20,
            "hold": "2s",
            "pause": "1s",
            "precision": 0.2,
            "warm_up": "500ms",
        }
    )
    targets = {"p95_s": "< 0.15", "error_ratio": "= 0"}
    load = start(settings_for(shop.url, targets=targets), "look", wanted)
    found = load.wait()
    plan = load.plan.ran(found["stages"])
    shown = {m.name: m.value for m in measurements(found, plan, load.plan.targets)}
    assert shown["sustained_per_s"] is not None
    assert shown["breaking_per_s"] is not None
    assert 20 <= shown["sustained_per_s"] < shown["breaking_per_s"] <= 70
    assert found["complete"]
    steps = {s["name"]: s["start_rate"] for s in found["stages"] if s["counts"]}
    assert list(steps.values()) == [shown["sustained_per_s"]]  # its figures are those of the run
    assert shown["p95_s"] is not None
    assert shown["p95_s"] < 0.15
    begins = [row["second"] for row in found["seconds"]]
    assert all(after - before == 1 for before, after in pairwise(begins))
    assert [r for r in reasons_to_distrust(found) if "never started" in r] == []
