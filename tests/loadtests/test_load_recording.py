"""Arrivals that are replayed: from the moment of each, or from a rate over time."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from loadtests.arrivals import HOLD, WARM_UP, Stage
from loadtests.plan import Plan, Share
from loadtests.profiles import MOST_PER_S, ProfileSettings
from loadtests.recording import Recording, read_recording


def read(*lines: str) -> Recording:
    return read_recording(lines, MOST_PER_S)


def profile(file: Path, **more: Any) -> ProfileSettings:
    return ProfileSettings.model_validate({"shape": "replay", "file": str(file), **more})


def plan_of(found: ProfileSettings) -> Plan:
    """Return the plan of a profile, as a worker reads it back."""
    plan = Plan(
        run="run",
        journeys=(Share("look", "load_walks:look"),),
        base_url="http://a",
        ca_file=None,
        stages=found.stages(),
        timeout_s=5,
        shoppers=10,
        patience_s=5,
        spacing=found.spacing,
        recording=found.recording(),
    )
    assert Plan.from_json(plan.to_json()) == plan
    return plan


def test_moments_count_from_the_first_line() -> None:
    found = read("# from the log of Monday", "1700000000.5", "", "1700000001", "1700000001")
    assert found == Recording(moments=(0.0, 0.5, 0.5))


def test_between_two_lines_a_rate_goes_straight() -> None:
    found = read("# seconds, journeys/s", "1700000000, 2", "1700000060,8", "1700000090  0")
    assert found == Recording(rates=(Stage("", 60, 2, 8), Stage("", 30, 8, 0)))
    assert sum(one.journeys for one in found.rates) == 420


def test_two_lines_of_one_moment_are_a_leap() -> None:
    found = read("0 1", "10 1", "10 5", "20 5")
    assert [(one.start_rate, one.end_rate) for one in found.rates] == [(1, 1), (5, 5)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["1", "two"], "line 2: 'two' is no moment; write seconds, or seconds and journeys a s"),
        (["1", "nan"], "line 2: 'nan' is no moment"),
        (["1", "2 5"], "line 2: '2 5' is no moment"),
        (["1 5", "2"], "line 2: '2' is no moment"),
        (["1 2 3"], "line 1: '1 2 3' is no moment"),
        (["5", "4"], "line 2: 4 comes before the line above it; sort the file"),
        (["5 1", "4 1"], "line 2: 4 1 comes before the line above it; sort the file"),
        (["0 1", "1 -1"], "line 2: a rate of -1; from 0 to 10000"),
        (["0 1", "1 10001"], "line 2: a rate of 10001; from 0 to 10000"),
        (["# nothing"], "there is no arrival"),
        (["0 5"], "there is no arrival"),
        (["0 0", "60 0"], "there is no arrival"),
    ],
)
def test_a_recording_that_is_none_is_refused_with_its_line(lines: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(*lines)


def test_a_mistake_in_the_file_refuses_the_profile_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "monday.txt"
    file.write_text("0 5\n60 many\n")
    with pytest.raises(ValidationError, match=r"monday\.txt: line 2: '60 many' is no moment"):
        profile(file)


def test_moments_are_replayed_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "monday.txt"
    file.write_text("\n".join(str(number / 10) for number in range(200)))
    plan = plan_of(profile(file, warm_up="4s"))
    warm_up, hold = plan.stages
    assert (warm_up.name, warm_up.duration_s, warm_up.start_rate) == (WARM_UP, 4.0, 10.0)
    assert (hold.name, hold.duration_s) == (HOLD, pytest.approx(16.9))
    assert hold.journeys == pytest.approx(160)
    assert [moment for moment, _ in plan.arrivals()] == [number / 10 for number in range(200)]


@pytest.mark.parametrize("spacing", ["even", "poisson"])
def test_rates_are_replayed_as_they_rose_and_fell(tmp_path: Path, spacing: str) -> None:
    file = tmp_path / "monday.csv"
    file.write_text("0,10\n100,10\n200,50\n300,0\n")
    plan = plan_of(profile(file, warm_up="50s", spacing=spacing))
    warm_up, hold = plan.stages
    assert (warm_up.duration_s, warm_up.start_rate, warm_up.counts) == (50, 10, False)
    assert (hold.duration_s, hold.journeys) == (250, pytest.approx(500 + 3000 + 2500))
    moments = [moment for moment, _ in plan.arrivals()]
    assert all(before <= after for before, after in pairwise(moments))
    for begin_s, end_s, expected in ((0, 100, 1000), (100, 200, 3000), (200, 300, 2500)):
        came = sum(begin_s <= one < end_s for one in moments)
        slack = 1 if spacing == "even" else 4 * expected**0.5
        assert came == pytest.approx(expected, abs=slack)


def test_a_recording_shorter_than_the_warm_up_still_counts_something(tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("0 10\n4 10\n")
    warm_up, hold = plan_of(profile(file, warm_up="1m")).stages
    assert (warm_up.duration_s, hold.duration_s, hold.journeys) == (3, 1, 10)
