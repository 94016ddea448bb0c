"""Changes in a row of p95: found where they are, and not where there is none."""

import random
from collections import Counter
from math import exp

import pytest

from loadtests.changes import find_changes


def row(chance: random.Random, *levels: tuple[int, float], noise: float = 0.03) -> list[float]:
    """Return values that stay so long around each level."""
    return [level * exp(chance.gauss(0, noise)) for length, level in levels for _ in range(length)]


@pytest.mark.parametrize("length", [10, 30])
def test_a_level_that_stays_has_no_change(length: int) -> None:
    chance = random.Random(length)
    found = Counter(bool(find_changes(row(chance, (length, 0.1)))) for _ in range(100))
    assert found[True] <= 5


@pytest.mark.parametrize(
    ("levels", "places"),
    [
        pytest.param([(10, 0.1), (10, 0.12)], [10], id="20 percent slower"),
        pytest.param([(30, 0.1), (5, 0.12)], [30], id="the newest five runs"),
        pytest.param([(20, 0.1), (20, 0.09)], [20], id="10 percent faster"),
        pytest.param([(20, 0.1), (7, 0.12), (20, 0.1)], [20, 27], id="slow and repaired"),
        pytest.param([(12, 0.1), (12, 0.115), (12, 0.13)], [12, 24], id="twice slower"),
    ],
)
def test_a_change_is_found_where_it_is(levels: list[tuple[int, float]], places: list[int]) -> None:
    chance = random.Random(7)
    right = 0
    for _ in range(20):
        found = [one.index for one in find_changes(row(chance, *levels, noise=0.02))]
        right += len(found) == len(places) and all(
            abs(one - place) <= 1 for one, place in zip(found, places, strict=True)
        )
    assert right >= 17


def test_a_change_says_what_was_before_and_after() -> None:
    (found,) = find_changes([0.100, 0.101, 0.102, 0.103, 0.104, 0.120, 0.121, 0.122, 0.123, 0.124])
    assert (found.index, found.before, found.after) == (5, 0.102, 0.122)
    assert found.ratio == pytest.approx(0.122 / 0.102, rel=0.005)
    # Source: of the C(10, 5) = 252 orders two part the values as well. Within two deviations of
    # what 9 999 random ones find; a first look at 499 would be further off.
    assert found.p == pytest.approx(2 / 252, abs=0.0018)
    assert find_changes([0.1] * 30) == []


def test_runs_with_equal_p95_on_each_side_of_a_change_are_no_hindrance() -> None:
    (found,) = find_changes([0.100] * 3 + [0.101] * 2 + [0.120] * 5)
    assert found.index == 5


def test_a_change_in_a_long_history_is_found() -> None:
    chance = random.Random(10)
    assert [one.index for one in find_changes(row(chance, (60, 0.1), (60, 0.12)))] == [60]


def test_an_outlier_is_no_change_and_hides_none() -> None:
    chance = random.Random(8)
    values = row(chance, (30, 0.1))
    values[17] = values[29] = 3.0
    assert find_changes(values) == []
    values = row(chance, (15, 0.1), (15, 0.12), noise=0.02)
    values[3] = 3.0
    assert [one.index for one in find_changes(values)] == [15]


def test_nine_runs_have_no_change_however_far_apart() -> None:
    assert find_changes([1.0, 1.1, 1.2, 1.3, 9.0, 9.1, 9.2, 9.3, 9.4]) == []


def test_the_same_history_has_the_same_answer() -> None:
    values = row(random.Random(9), (12, 0.1), (8, 0.115))
    assert find_changes(values) == find_changes(values)
