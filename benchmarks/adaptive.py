"""The public adaptive-band rules as arithmetic, for comparison.

Source: the rules `adaptive` of grafana/promql-anomaly-detection. A value above 0 is compared with
the lowest of three bands: the mean of the last hour less twice the smoothed deviation, half of that
mean, and the means of the hours one day and one week ago less twice their deviations. An alert
follows after five minutes. The upper bands are left out here.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from alerting.anomaly.backtest import Alarm
from alerting.anomaly.season import History, Span

_HOUR, _SMOOTHING = 60, 26 * 60
_LOOK_BACKS = (23 * 60 + 30, 167 * 60 + 30)
_DEVIATIONS, _MARGIN, _VARIATION = 2.0, 0.5, 0.5
_FOR = 5


class _Hours:
    """Mean and standard deviation of the last hour at every minute, over values above 0."""

    def __init__(self, values: Sequence[float]) -> None:
        known = [value if value > 0 else 0.0 for value in values]  # NaN is not above 0
        self._n = [0, *accumulate(value > 0 for value in known)]
        self._sum = [0.0, *accumulate(known)]
        self._squares = [0.0, *accumulate(value * value for value in known)]

    def at(self, end: int) -> tuple[float, float] | None:
        begin = max(0, end - _HOUR)
        n = self._n[end] - self._n[begin] if end > 0 else 0
        if not n:
            return None
        mean = (self._sum[end] - self._sum[begin]) / n
        variance = (self._squares[end] - self._squares[begin]) / n - mean * mean
        return mean, math.sqrt(max(0.0, variance))


def alarms(history: History) -> list[Alarm]:
    """Return the stretches in which the rules would have fired for too few events."""
    hour = _Hours(history.counts)
    found, began, below = [], None, 0
    kept: list[tuple[int, float]] = []  # deviations that pass the filter, of the last 26 hours
    total = 0.0
    for end in range(1, len(history.counts) + 1):
        now = history.start + 60 * end
        recent = hour.at(end)
        if recent is not None and recent[1] > _VARIATION * recent[0]:
            kept.append((end, recent[1]))
            total += recent[1]
        while kept and kept[0][0] <= end - _SMOOTHING:
            total -= kept.pop(0)[1]
        level = history.counts[end - 1]
        low = recent is not None and level > 0 and level < _lower(hour, end, recent, kept, total)
        below = below + 1 if low else 0
        if below > _FOR and began is None:
            began = now
        elif not low and began is not None:
            found.append(Alarm(Span(began, now), "loss"))
            began = None
    if began is not None:
        found.append(Alarm(Span(began, history.end), "loss"))
    return found


def _lower(
    hour: _Hours,
    end: int,
    recent: tuple[float, float],
    kept: Sequence[tuple[int, float]],
    total: float,
) -> float:
    mean = recent[0]
    bands = [mean - mean * _MARGIN]
    if kept:
        bands.append(mean - _DEVIATIONS * total / len(kept))
    for look_back in _LOOK_BACKS:
        if before := hour.at(end - look_back):
            bands.append(before[0] - _DEVIATIONS * before[1])
    return max(0.0, min(bands))
