"""The seconds of a run and its windows of ten.

Of seconds there are so many and no more, of a window its quantiles are kept: 3 MB of a day.
"""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loadtests.figures import SECOND_COUNTS, Second
from loadtests.histogram import Histogram, merged
from loadtests.interval_log import IntervalLog

WINDOW_S = 10
# A second's histogram is kept this long, then only its quantiles are.
_SECONDS_IN_FULL = 120
# The last half an hour to the second; before, two or more are one where a run takes so long.
MOST_SECONDS = 7200


class Curves:
    """What happened in each second.

    Args:
        folder: where latency.hlog goes.
        longest_visit_s: seconds after its intended start at which a visit has ended.
        may_count: tells whether a second can belong to the figures of the run.
    """

    def __init__(
        self, folder: Path, longest_visit_s: float, may_count: Callable[[float], bool]
    ) -> None:
        self._may_count = may_count
        self._in_full_s = max(_SECONDS_IN_FULL, math.ceil(longest_visit_s))
        self._windows: defaultdict[int, Histogram] = defaultdict(Histogram)
        self._window_rows: dict[int, dict[str, float | None]] = {}
        self._log = IntervalLog(folder / "latency.hlog", WINDOW_S)
        self._seconds: dict[int, Second] = {}
        self._in_full: deque[int] = deque()
        self._joined, self._joined_until = 1, 0  # so many are one, up to this number

    def at(self, moment_s: float) -> Second:
        """Return the second of a moment, or those that were joined with it."""
        number = self._begin(int(moment_s))
        found = self._seconds.get(number)
        if found is None:
            found = self._seconds[number] = Second()
            self._in_full.append(number)
            while self._in_full[0] < number - self._in_full_s:
                self._close(self._in_full.popleft())
            self._close_windows(self._in_full[0])
            if len(self._seconds) > MOST_SECONDS + len(self._in_full):
                self._join()
        return found

    def take(self) -> dict[int, dict[str, Any]]:
        """Return all seconds and forget them."""
        said = {number: second.to_json() for number, second in self._seconds.items()}
        self._seconds, self._in_full = {}, deque()
        return said

    def absorb(self, said: Mapping[int, Mapping[str, Any]]) -> None:
        """Take in the seconds that `take` returned elsewhere."""
        for number, raw in sorted(said.items()):
            self.at(number).add(raw)

    def recent(self, now_s: float) -> dict[str, float | None]:
        """Return the rates and quantiles of the last ten whole seconds."""
        numbers = range(max(0, int(now_s) - WINDOW_S), int(now_s))
        seconds = [self._seconds[n] for n in numbers if n in self._seconds]
        latency = merged(one.latency for one in seconds).quantiles()
        rates = {
            f"{name}_per_s": sum(getattr(one, name) for one in seconds) / max(1, len(numbers))
            for name in SECOND_COUNTS
        }
        return {**{name: latency[name] for name in ("p50_s", "p95_s", "p99_s")}, **rates}

    def rows(self) -> list[dict[str, Any]]:
        """Return counts and quantiles of each second; the run is over.

        Of several that were joined (`width_s`) the counts are together, and the worst quantiles.
        """
        return [self._row(number) for number in sorted(self._seconds)]

    def windows(self, counts: Callable[[float], bool]) -> list[dict[str, Any]]:
        """Return the quantiles of each window of what counts, after `rows`; ends the log."""
        self._close_windows(math.inf)
        self._log.close()
        return [
            {"start_s": number * WINDOW_S, **row}
            for number, row in sorted(self._window_rows.items())
            if all(map(counts, filter(self._may_count, _seconds_of(number))))
        ]

    def _close(self, number: int) -> dict[str, float | None]:
        """Keep the quantiles of a second, give its histogram to its window, and let it go."""
        second = self._seconds[number]
        if second.quantiles is None:
            second.quantiles = second.latency.quantiles()
            window = number // WINDOW_S
            if self._may_count(number) and window not in self._window_rows:
                self._windows[window].add(second.latency)
            second.latency = Histogram()
        return second.quantiles

    def _close_windows(self, until_s: float) -> None:
        """Keep the quantiles of the windows that have ended, and log their histograms."""
        for number in sorted(n for n in self._windows if (n + 1) * WINDOW_S <= until_s):
            window = self._windows.pop(number)
            self._window_rows[number] = window.quantiles()
            self._log.write(number * WINDOW_S, window)

    def _begin(self, number: int) -> int:
        """Return the first of the seconds that are joined with one, itself where it is alone."""
        return number - number % self._joined if number < self._joined_until else number

    def _join(self) -> None:
        """Make one of several seconds that were over long ago; never more than half of all are."""
        until = min(self._in_full) - MOST_SECONDS // 4
        while until > self._joined * MOST_SECONDS // 2:
            self._joined *= 2
        self._joined_until = until - until % self._joined
        kept: dict[int, Second] = {}
        for number, second in sorted(self._seconds.items()):
            begin = self._begin(number)
            if begin in kept:
                kept[begin].join(second)
            else:
                kept[begin] = second
        self._seconds = kept

    def _row(self, number: int) -> dict[str, Any]:
        quantiles, second = self._close(number), self._seconds[number]
        counts = {name: getattr(second, name) for name in SECOND_COUNTS}
        shown = {name: quantiles[name] for name in ("p50_s", "p95_s", "max_s")}
        width_s = self._joined if number < self._joined_until else 1
        return {"second": number, "width_s": width_s, **counts, **shown}


def _seconds_of(window: int) -> range:
    return range(window * WINDOW_S, (window + 1) * WINDOW_S)
