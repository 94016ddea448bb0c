"""A histogram of durations with the resolution of an HdrHistogram and the cost of a dictionary.

The buckets are those of HdrHistogram with 3 significant digits over microseconds: exact below 2 048
of them, above that 11 bits, so that a percentile is off by less than 0.1 %. They are kept in a
dictionary, because the library's Python port took a fifth of the generator's time.

Source: HdrHistogram, "equivalent values".
"""

from collections.abc import Iterable, Mapping
from typing import Any

_BITS = 11
HIGHEST_US = 600_000_000  # ten minutes; what takes longer is counted as that


def bucket(seconds: float) -> int:
    """Return the bucket of a duration: its lowest microsecond."""
    value = min(round(seconds * 1e6), HIGHEST_US)
    shift = max(0, value.bit_length() - _BITS)
    return max(value >> shift << shift, 1)


class Histogram:
    """How often each bucket was met.

    Attributes:
        counts: by bucket; add to it with `counts[b] = counts.get(b, 0) + 1`.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    def record(self, seconds: float) -> None:
        """Count one duration."""
        self.count(bucket(seconds))

    def count(self, one: int) -> None:
        """Count one duration by its bucket."""
        self.counts[one] = self.counts.get(one, 0) + 1

    def add(self, other: "Histogram") -> None:
        """Take in all that another one has counted."""
        for one, times in other.counts.items():
            self.counts[one] = self.counts.get(one, 0) + times

    @property
    def total(self) -> int:
        """How many durations there are."""
        return sum(self.counts.values())

    def above(self, seconds: float) -> int:
        """Return how many durations were longer than so many seconds, to a bucket."""
        bound = bucket(seconds)
        return sum(times for one, times in self.counts.items() if one > bound)

    @property
    def mean_s(self) -> float | None:
        """The mean in seconds, each duration counted as the middle of its bucket."""
        total = self.total
        middles_us = sum((one + _width_us(one) // 2) * n for one, n in self.counts.items())
        return middles_us / total / 1e6 if total else None

    def at(self, percentiles: Iterable[float]) -> list[float | None]:
        """Return the seconds at percentiles that rise; None where nothing was recorded.

        Source: HdrHistogram: the highest microsecond of the first bucket up to which that share,
        rounded to a whole duration, has been counted.
        """
        total, found = self.total, list[float | None]()
        ordered = iter(sorted(self.counts.items()))
        seen, highest = 0, None
        for percentile in percentiles:
            wanted = max(1, int(percentile * total / 100 + 0.5))
            while seen < wanted and (step := next(ordered, None)) is not None:
                highest, seen = _highest_s(step[0]), seen + step[1]
            found.append(highest)
        return found

    def quantiles(self) -> dict[str, float | None]:
        """Return count, mean, p50, p95, p99 and maximum in seconds."""
        p50, p95, p99, most = self.at((50, 95, 99, 100))
        rest = {"p50_s": p50, "p95_s": p95, "p99_s": p99, "max_s": most}
        return {"count": self.total, "mean_s": self.mean_s, **rest}

    def spectrum(self) -> list[tuple[float, Any]]:
        """Return (percentile, seconds) pairs for the percentile curve, dense towards the tail."""
        marks = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.99, 100)
        return list(zip(marks, self.at(marks), strict=True)) if self.counts else []


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return one histogram of all."""
    whole = Histogram()
    for one in histograms:
        whole.add(one)
    return whole


def _highest_s(one: int) -> float:
    """Return the last microsecond of a bucket, in seconds."""
    return (one + _width_us(one) - 1) / 1e6


def _width_us(one: int) -> int:
    return 1 << max(0, one.bit_length() - _BITS)
