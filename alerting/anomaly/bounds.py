"""When a counter of business events shows too few: bounds per window, and the calendar.

A window alarms when it holds fewer events than its bound. Short windows see a shop that stands
still, longer ones a shop that lost a part of its orders: the smaller the loss, the more events it
takes to tell it from chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alerting.anomaly.season import Season, Span


@dataclass(frozen=True, slots=True)
class Window:
    """A window of some minutes; at most `cap_ratio` of what is expected may count as too few."""

    minutes: int
    cap_ratio: float


WINDOWS = (
    Window(2, 0.0),  # nothing at all
    Window(4, 0.35),  # a loss of nine in ten
    Window(8, 0.75),  # a loss of half
    Window(30, 0.75),  # the same in a quiet hour, or in a small shop
    Window(60, 0.75),
)
"""The times to detect of issue and design (3, 5, 10 minutes) less two scrapes and an evaluation."""

DEVIATIONS = 5.0
"""Standard deviations below the middle; a chance of 3 in 10 million per look."""

SILENCE_EVENTS = 14.0
"""Events expected where there are none: exp(-14), 1 in a million, by chance."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """A stretch of the calendar that is no ordinary week: a promotion, a holiday, a stocktaking.

    `factor` is how many times the ordinary is expected; None when nobody knows, and then only a
    shop that stands still alarms.
    """

    name: str
    span: Span
    factor: float | None


def occasion_at(calendar: Sequence[Occasion], at: float) -> Occasion | None:
    """Return the occasion of a moment in Unix seconds, the first of several."""
    return next((o for o in calendar if o.span.start <= at < o.span.end), None)


class Expectation:
    """What a stretch of minutes should bring, summed up so that any window in it is quickly had.

    Args:
        season: what is ordinary.
        calendar: what is not.
        span: the stretch; its start is a whole minute.
    """

    def __init__(self, season: Season, calendar: Sequence[Occasion], span: Span) -> None:
        self._start = span.start
        self._events, self._unknown, self._unjudged = [0.0], [0], [0]
        for minute in range(round((span.end - span.start) / 60)):
            at = span.start + 60 * minute
            rate, occasion = season.expected(at), occasion_at(calendar, at)
            factor = occasion.factor if occasion else 1.0
            self._events.append(
                self._events[-1] + (rate or 0.0) * (1 if factor is None else factor)
            )
            self._unknown.append(self._unknown[-1] + (rate is None))
            self._unjudged.append(self._unjudged[-1] + (factor is None))

    def events(self, end: float, minutes: int) -> float | None:
        """Return the events of the window that ends then; None where history does not suffice."""
        last = round((end - self._start) / 60)
        first = last - minutes
        if first < 0 or self._unknown[last] > self._unknown[first]:
            return None
        return self._events[last] - self._events[first]

    def judged(self, end: float, minutes: int) -> bool:
        """Return whether it is known for the whole window what the calendar brings."""
        last = round((end - self._start) / 60)
        return self._unjudged[last] == self._unjudged[last - minutes]


def lower_bound(season: Season, expected: float, cap_ratio: float) -> float:
    """Return the number of events in a window below which it alarms; 0 when nothing alarms.

    The variance of the count is Poisson's times the dispersion, plus that of the hour from week to
    week.

    Args:
        season: with dispersion and spread.
        expected: events in the window.
        cap_ratio: see Window; 0 asks for silence alone.
    """
    silence = 0.5 if expected / season.dispersion >= SILENCE_EVENTS else 0.0
    deviation = math.sqrt(season.dispersion * expected + (season.spread_ratio * expected) ** 2)
    return max(silence, min(cap_ratio * expected, expected - DEVIATIONS * deviation))


def bounds(season: Season, calendar: Sequence[Occasion], now: float) -> dict[int, float]:
    """Return the bound of every window that ends now, by its minutes; without those unknown."""
    end = now // 60 * 60
    longest = max(window.minutes for window in WINDOWS)
    expectation = Expectation(season, calendar, Span(end - 60 * longest, end))
    found = {w.minutes: window_bound(season, expectation, end, w) for w in WINDOWS}
    return {minutes: bound for minutes, bound in found.items() if bound is not None}


def window_bound(
    season: Season, expectation: Expectation, end: float, window: Window
) -> float | None:
    """Return the bound of a window that ends then; None where history does not suffice."""
    events = expectation.events(end, window.minutes)
    if events is None:
        return None
    judged = expectation.judged(end, window.minutes)
    return lower_bound(season, events, window.cap_ratio if judged else 0.0)


def smallest_loss(season: Season, rate: float, minutes: int = 8) -> float | None:
    """Return the share of events that must be missing to be seen in a window; None when none is.

    Args:
        season: with dispersion and spread.
        rate: what is expected, events per minute.
        minutes: of the window.
    """
    expected = rate * minutes
    cap_ratio = next(window.cap_ratio for window in WINDOWS if window.minutes == minutes)
    bound = lower_bound(season, expected, cap_ratio)
    return 1 - bound / expected if bound > 0.5 else None
