"""Replay a history: what would have alarmed, when, and what would have been missed.

At each minute only what was known then is used. The season is learnt anew every day, and not from
time in which an alarm was firing: a fault must not become the custom.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from alerting.anomaly.bounds import WINDOWS, Expectation, Occasion, occasion_at, window_bound
from alerting.anomaly.season import History, Hour, Season, Span, fit, hours
from storewatch.core.clock import parse_rfc3339
from storewatch.core.errors import AlertError

_DAY_S = 86400
ABSENT_MINUTES = 2
"""Minutes without any measurement after which absence alarms."""
KEEP_FIRING_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Learning:
    """How the season is learnt; see `alerting.anomaly.season.fit`."""

    zone: str = "UTC"
    weeks: int = 5
    minimum_weeks: int = 3


@dataclass(frozen=True, slots=True)
class Alarm:
    """A stretch of firing, and the sign that began it: silence, loss or absent."""

    span: Span
    sign: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A stretch in which something was wrong; `delay_s` until an alarm, None when it was missed.

    `covered_ratio` is the share of the fault after its detection during which the alarm fired.
    """

    span: Span
    delay_s: float | None
    covered_ratio: float


@dataclass(frozen=True, slots=True)
class Replay:
    """What a backtest found. `judged_from` is None when history never sufficed."""

    alarms: tuple[Alarm, ...]
    judged_from: float | None
    judged_minutes: int
    faults: tuple[Fault, ...] = ()
    false_alarms: tuple[Alarm, ...] = ()

    @property
    def hits(self) -> int:
        """Faults that were found."""
        return sum(fault.delay_s is not None for fault in self.faults)


@dataclass(slots=True)
class _Alarming:
    """The alarm under way, as Prometheus' keep_firing_for has it."""

    alarms: list[Alarm] = field(default_factory=list)
    began: float | None = None
    last: float = 0.0
    sign: str = ""

    def see(self, now: float, sign: str | None) -> None:
        if sign is not None:
            if self.began is None:
                self.began, self.sign = now, sign
            self.last = now
        elif self.began is not None and now - self.last > KEEP_FIRING_MINUTES * 60:
            self.end(now)

    def end(self, now: float) -> None:
        if self.began is not None:
            self.alarms.append(Alarm(Span(self.began, now), self.sign))
            self.began = None


def replay(
    history: History,
    calendar: Sequence[Occasion] = (),
    learning: Learning | None = None,
    faults: Sequence[Span] = (),
) -> Replay:
    """Walk through a history minute by minute.

    Args:
        history: with steps of 60 s.
        calendar: promotions, holidays.
        learning: how the season is learnt.
        faults: when something was wrong in truth; empty when nobody knows.
    """
    learning = learning or Learning()
    measured = hours(history, [occasion.span for occasion in calendar])
    sums = _Sums(history)
    state, judged = _Alarming(), []
    day: _Day | None = None
    for index in range(1, len(history.counts) + 1):
        now = history.start + index * history.step_s
        if day is None or now > day.end:
            day = _Day(_learn(measured, now, learning, state), calendar, now)
        sign, known = _sign(day, sums, index, now)
        if known:
            judged.append(now)
        state.see(now, sign)
    state.end(history.end)
    alarms = tuple(state.alarms)
    return Replay(
        alarms=alarms,
        judged_from=judged[0] if judged else None,
        judged_minutes=len(judged),
        faults=tuple(judge(fault, alarms) for fault in faults),
        false_alarms=tuple(
            alarm
            for alarm in alarms
            if not any(f.overlaps(alarm.span.start, alarm.span.end) for f in faults)
        ),
    )


def read_history(path: Path) -> tuple[History, list[Span]]:
    """Read a history of minutes from CSV: `time,count` and, where it is known, `fault`.

    `time` is Unix seconds or RFC 3339, one line a minute in order; an empty count is a minute in
    which nothing was measured; `fault` is 1 in minutes in which something was wrong.

    Raises:
        AlertError: one line with file, line number and the valid form.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise AlertError(f"{path}: cannot be read ({reason}); give a CSV file time,count") from None
    if not rows or not {"time", "count"} <= rows[0].keys():
        raise AlertError(
            f"{path}: no such columns; the first line is time,count or time,count,fault"
        )
    counts, faults, start = [], [], 0
    for number, row in enumerate(rows, start=2):
        try:
            moment = _moment(row["time"])
            counts.append(float(row["count"]) if row["count"].strip() else math.nan)
        except (ValueError, AttributeError):
            raise AlertError(
                f"{path}:{number}: not a time and a count; such as 2026-11-01T00:00:00Z,42"
            ) from None
        start = start or moment
        if moment != start + 60 * (number - 2):
            raise AlertError(
                f"{path}:{number}: {row['time']} is not one minute after the last line"
            )
        faults.append((row.get("fault") or "").strip() in {"1", "true"})
    return History(start, 60, counts), list(_spans(faults, start))


def _moment(text: str) -> int:
    moment = float(text) if text.replace(".", "", 1).isdigit() else parse_rfc3339(text).timestamp()
    if moment % 60:
        raise ValueError("not a whole minute")
    return int(moment)


def _spans(flags: Sequence[bool], start: int) -> Iterator[Span]:
    began = None
    for index, flag in enumerate([*flags, False]):
        if flag and began is None:
            began = index
        elif not flag and began is not None:
            yield Span(start + 60 * began, start + 60 * index)
            began = None


class _Day:
    """What is expected of the day that begins now, and of the hour before it."""

    def __init__(self, season: Season, calendar: Sequence[Occasion], now: float) -> None:
        self.season = season
        self.calendar = calendar
        self.end = now + _DAY_S
        self.expectation = Expectation(season, calendar, Span(now - 3600, self.end))


class _Sums:
    """Counts of windows, from running totals."""

    def __init__(self, history: History) -> None:
        known = [not math.isnan(count) for count in history.counts]
        values = (count if ok else 0.0 for count, ok in zip(history.counts, known, strict=True))
        self._total = [0.0, *accumulate(values)]
        self._known = [0, *accumulate(known)]

    def of(self, end: int, minutes: int) -> float | None:
        """Return the events of the minutes up to index `end`; None unless all were measured."""
        begin = end - minutes
        if begin < 0 or self._known[end] - self._known[begin] < minutes:
            return None
        return self._total[end] - self._total[begin]

    def absent(self, end: int) -> bool:
        """Return whether nothing was measured lately, though something was before."""
        begin = max(0, end - ABSENT_MINUTES)
        return self._known[end] == self._known[begin] and self._known[begin] > 0


def _learn(measured: list[Hour], now: float, learning: Learning, state: _Alarming) -> Season:
    firing = [alarm.span for alarm in state.alarms]
    if state.began is not None:
        firing.append(Span(state.began, now))
    trusted = [h for h in measured if not any(s.overlaps(h.start, h.start + 3600) for s in firing)]
    return fit(
        trusted,
        now,
        zone=learning.zone,
        weeks=learning.weeks,
        minimum_weeks=learning.minimum_weeks,
    )


def _sign(day: _Day, sums: _Sums, index: int, now: float) -> tuple[str | None, bool]:
    """Return what alarms now, and whether anything could be judged."""
    if day.season.expected(now - 60) is None:
        return None, False
    if sums.absent(index):
        closed = occasion_at(day.calendar, now - 60)
        return (None if closed and closed.factor == 0 else "absent"), True
    for window in WINDOWS:
        count = sums.of(index, window.minutes)
        bound = window_bound(day.season, day.expectation, now, window)
        if count is not None and bound is not None and count < bound:
            return ("silence" if count == 0 else "loss"), True
    return None, True


def judge(fault: Span, alarms: Sequence[Alarm]) -> Fault:
    """Return how soon alarms found a fault, and for how much of the rest they fired."""
    inside = [a.span for a in alarms if a.span.overlaps(fault.start, fault.end)]
    if not inside:
        return Fault(fault, None, 0.0)
    found = max(inside[0].start, fault.start)
    firing = sum(min(s.end, fault.end) - max(s.start, found) for s in inside)
    return Fault(fault, found - fault.start, firing / max(fault.end - found, 1e-9))
