"""How sure a row of drills is."""

import pytest

from backup.success import Success


@pytest.mark.parametrize(
    ("passed", "drills", "at_least"),
    [
        (20, 20, 0.05 ** (1 / 20)),
        (59, 59, 0.05 ** (1 / 59)),
        (58, 58, 0.05 ** (1 / 58)),
        (1, 1, 0.05),
        # Source: tables of Clopper and Pearson's limits, two-sided 90 %.
        (9, 10, 0.6058),
        (95, 100, 0.8977),
        (0, 10, 0.0),
        (2000, 4000, 0.4868),  # the normal approximation's, which is good there
    ],
)
def test_the_bound_is_clopper_and_pearsons(passed: int, drills: int, at_least: float) -> None:
    assert Success(passed, drills).at_least == pytest.approx(at_least, abs=1e-4)


def test_59_in_a_row_show_more_than_95_percent_and_58_do_not() -> None:
    assert Success(59, 59).at_least > 0.95 > Success(58, 58).at_least


def test_without_a_drill_there_is_no_share() -> None:
    assert Success(0, 0).ratio is None
    assert Success(0, 0).at_least == 0.0
    assert Success(3, 4).ratio == 0.75
