"""Orders that stop coming, on built histories: what is found, how soon, and what stays quiet."""

import math
from dataclasses import replace

import pytest

from alerting.anomaly.backtest import Learning, replay
from alerting.anomaly.bounds import lower_bound, smallest_loss
from alerting.anomaly.season import Season, Span, fit, hours
from benchmarks.histories import (
    DAY_S,
    HOLIDAY,
    PROMOTION,
    SHAPES,
    WITHIN_MINUTES,
    at,
    build,
    dropped,
    during,
    flat,
    growing,
    weekly,
)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_quiet_weeks_give_no_alarm(shape: str, seed: int) -> None:
    orders, calendar = SHAPES[shape]
    found = replay(build(orders, 8, seed), calendar)
    assert found.alarms == ()
    assert found.judged_minutes >= 4 * 7 * 24 * 60


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("left_ratio", WITHIN_MINUTES)
def test_a_drop_is_found_in_time_and_stays_firing_for_a_day(
    shape: str, left_ratio: float | None
) -> None:
    orders, calendar = SHAPES[shape]
    history = build(orders, 8)
    faults = [Span(b, b + DAY_S) for b in (at(7, 1, 4.5), at(7, 3, 19.25), at(7, 5, 12))]
    for fault in faults:
        history = dropped(history, fault, left_ratio)
    found = replay(history, calendar, faults=faults)
    for judged in found.faults:
        assert judged.delay_s is not None
        assert judged.delay_s <= WITHIN_MINUTES[left_ratio] * 60
        assert judged.covered_ratio == 1.0
    assert found.false_alarms == ()


def test_a_promotion_that_is_not_in_the_calendar_alarms_neither_during_nor_a_week_after() -> None:
    found = replay(build(during(weekly, PROMOTION.span, 4.0), 8))
    assert found.alarms == ()


def test_a_holiday_that_is_not_in_the_calendar_is_told() -> None:
    found = replay(build(during(weekly, HOLIDAY.span, 0.4), 8), faults=[HOLIDAY.span])
    assert found.hits == 1


def test_too_little_history_is_said_and_judges_nothing() -> None:
    short = build(weekly, 2.9)
    assert replay(short).judged_from is None
    season = fit(hours(short), short.end, zone="UTC", weeks=5, minimum_weeks=3)
    assert season.ready_ratio < 1
    one = build(weekly, 1)
    assert fit(hours(one), one.end, zone="UTC", weeks=5, minimum_weeks=3).ready_ratio == 0


def test_a_fault_of_two_weeks_does_not_become_the_custom() -> None:
    fault = Span(at(6), at(8))
    found = replay(dropped(build(weekly, 8), fault, 0.4), faults=[fault])
    assert found.faults[0].covered_ratio == 1.0


def test_a_shop_with_one_order_a_minute_is_seen_to_stop_and_never_alarms_by_chance() -> None:
    quiet = build(lambda _moment: 1.0, 8)
    assert replay(quiet).alarms == ()
    fault = Span(at(7, 1), at(7, 2))
    found = replay(dropped(quiet, fault, 0.0), faults=[fault])
    assert found.faults[0].delay_s is not None
    assert found.faults[0].delay_s <= 30 * 60


def test_growth_of_five_percent_a_week_is_measured() -> None:
    season = fit(hours(build(growing, 5)), at(5), zone="UTC", weeks=5, minimum_weeks=3)
    assert season.growth == pytest.approx(1.05, abs=0.005)
    # The middle of the first hour of the week to come, at today's level.
    assert season.middle[0] == pytest.approx(growing(at(5, 0, 0.5)), rel=0.03)


def test_the_noise_of_a_poisson_shop_is_measured_as_such() -> None:
    season = fit(hours(build(flat, 5)), at(5), zone="UTC", weeks=5, minimum_weeks=3)
    assert season.dispersion == pytest.approx(1.0, abs=0.15)
    assert season.spread_ratio == pytest.approx(0.033, abs=0.01)


def test_the_season_follows_the_clock_of_the_customers_through_a_change_of_daylight_saving() -> (
    None
):
    # Berlin's clocks go forward on 2026-03-29, in the fourth week of this history.
    def evening(moment: float) -> float:
        local_hour = (moment + (3600 if moment < at(3, 6, 1) else 7200)) % DAY_S // 3600
        return 120.0 if 18 <= local_hour < 22 else 40.0

    history = build(evening, 6)
    assert replay(history, learning=Learning(zone="Europe/Berlin")).alarms == ()
    season = fit(hours(history), at(6), zone="Europe/Berlin", weeks=5, minimum_weeks=3)
    assert season.expected(at(6, 2, 18)) == pytest.approx(120, rel=0.05)  # 20 o'clock there


def test_time_that_was_not_measured_is_no_order_that_was_not_placed() -> None:
    history = build(flat, 4)
    gap = Span(at(2, 3, 10), at(2, 3, 10.9))
    holes = dropped(history, gap, None)
    assert len(hours(holes)) == len(hours(history)) - 1
    assert min(hour.rate for hour in hours(holes)) > 40


def test_a_bound_asks_for_silence_only_where_silence_cannot_be_chance() -> None:
    season = Season((60.0,) * 168, 1.0, 1.0, 0.02, "UTC")
    assert lower_bound(season, 13.9, 0.0) == 0
    assert lower_bound(season, 14.1, 0.0) == 0.5
    assert math.exp(-14.0) < 1e-6
    noisy = replace(season, dispersion=2.0)
    assert lower_bound(noisy, 27.9, 0.0) == 0


def test_the_smallest_loss_that_shows_is_larger_in_a_smaller_shop() -> None:
    season = Season((60.0,) * 168, 1.0, 1.0, 0.03, "UTC")
    losses = [smallest_loss(season, rate) for rate in (1, 10, 60, 600)]
    assert losses[0] is None
    assert losses[1] > losses[2] > losses[3] == pytest.approx(0.25)
