import random

import pytest
from hdrh.histogram import HdrHistogram

from loadtests.histogram import Histogram, bucket, merged

MARKS = (1, 10, 50, 90, 95, 99, 99.9, 99.99, 100)


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.1, 3.0, 200.0])
def test_percentiles_are_those_of_hdrhistogram_to_the_digit(scale: float) -> None:
    chance = random.Random(scale)
    theirs, ours = HdrHistogram(1, 600_000_000, 3), Histogram()
    for _ in range(5000):
        seconds = min(chance.lognormvariate(0, 1.5) * scale, 599.0)
        theirs.record_value(max(1, round(seconds * 1e6)))
        ours.record(seconds)
    assert ours.at(MARKS) == [theirs.get_value_at_percentile(mark) / 1e6 for mark in MARKS]
    assert ours.total == theirs.get_total_count()
    assert ours.mean_s == pytest.approx(theirs.get_mean_value() / 1e6, rel=1e-3)


def test_a_bucket_is_less_than_a_thousandth_wide() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        seconds = 10 ** chance.uniform(-6, 2.7)
        low = bucket(seconds) / 1e6
        assert low <= seconds * 1.0000001 + 5e-7
        assert seconds - low <= max(1e-6, seconds / 1000)


def test_histograms_of_several_workers_are_one() -> None:
    chance = random.Random(2)
    parts = [Histogram() for _ in range(3)]
    whole = Histogram()
    for number in range(3000):
        seconds = chance.expovariate(10)
        parts[number % 3].record(seconds)
        whole.record(seconds)
    assert merged(parts).counts == whole.counts
    assert merged(parts).quantiles() == whole.quantiles()


def test_nothing_recorded_has_no_percentiles() -> None:
    assert Histogram().quantiles() == {
        "count": 0, "mean_s": None, "p50_s": None, "p95_s": None, "p99_s": None, "max_s": None,
    }  # fmt: skip
    assert Histogram().spectrum() == []
