"""Arrivals that were recorded, to be replayed: each moment, or the rate over time."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from loadtests.arrivals import HOLD, WARM_UP, Stage

_FORM = "write seconds, or seconds and journeys a second; one moment a line"


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file says; one of the two.

    Attributes:
        moments: the intended starts, in seconds from the first of them.
        rates: the rate between one line and the next, from the first of them on.
    """

    moments: tuple[float, ...] = ()
    rates: tuple[Stage, ...] = ()

    def stages(self, warm_up_s: float) -> tuple[Stage, ...]:
        """Return the warm-up, as far as the recording goes, and the rest, by their mean rates."""
        end_s = self.moments[-1] + 1 if self.moments else sum(one.duration_s for one in self.rates)
        warm_up_s = min(warm_up_s, max(0.0, end_s - 1)) or 0.001
        early = self._before(warm_up_s)
        before, after = early / warm_up_s, (self._before(end_s) - early) / (end_s - warm_up_s)
        return (
            Stage(WARM_UP, warm_up_s, before, before, counts=False),
            Stage(HOLD, end_s - warm_up_s, after, after),
        )

    def _before(self, moment_s: float) -> float:
        """Return how many journeys are meant to have started by a moment."""
        passed, begun_s = float(sum(one < moment_s for one in self.moments)), 0.0
        for one in self.rates:
            reached_s = min(max(0.0, moment_s - begun_s), one.duration_s)
            passed += reached_s * (one.start_rate + one.rate(reached_s)) / 2
            begun_s += one.duration_s
        return passed


def read_recording(lines: Iterable[str], most_per_s: float) -> Recording:
    """Return what the lines say.

    Args:
        lines: a number of seconds each, such as the Unix time of each request, in order; or two
            numbers with a space or a comma between, seconds and the journeys per second at that
            moment: between two lines the rate goes straight, and the last one ends it. Empty lines
            and those that begin with # are left out.
        most_per_s: the highest rate that is taken.

    Raises:
        ValueError: a line is of another form, comes before the one above it, or there is nothing
            to replay; the line's number and the valid form.
    """
    rows: list[tuple[float, ...]] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        row = _numbers(text)
        columns = len(rows[0]) if rows else len(row)
        if len(row) != columns or columns not in (1, 2):
            raise ValueError(f"line {number}: {text!r} is no moment; {_FORM}")
        if rows and row[0] < rows[-1][0]:
            raise ValueError(f"line {number}: {text} comes before the line above it; sort the file")
        if len(row) == 2 and not 0 <= row[1] <= most_per_s:
            raise ValueError(f"line {number}: a rate of {row[1]:g}; from 0 to {most_per_s:g}")
        rows.append(row)
    if rows and len(rows[0]) == 1:
        return Recording(moments=tuple(moment - rows[0][0] for (moment,) in rows))
    found = tuple(
        Stage("", end_s - begin_s, start, end)
        for (begin_s, start), (end_s, end) in pairwise(rows)
        if end_s > begin_s
    )
    if sum(one.journeys for one in found) < 1:
        raise ValueError(f"there is no arrival; {_FORM}")
    return Recording(rates=found)


def _numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of a line; none where one is none."""
    try:
        found = tuple(float(word) for word in re.split(r"\s*,\s*|\s+", text))
    except ValueError:
        return ()
    return found if all(map(math.isfinite, found)) else ()
