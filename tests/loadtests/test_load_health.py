import pytest

from loadtests.health import Busiest, worst_lateness
from loadtests.histogram import Histogram


def used(*shares: float) -> list[tuple[float, float]]:
    """Samples a second apart of a generator that used such shares of a core."""
    samples, total = [(0.0, 5.0)], 5.0
    for second, share in enumerate(shares, 1):
        total += share
        samples.append((float(second), total))
    return samples


def busiest(samples: list[tuple[float, float]]) -> float:
    cpu = Busiest()
    for at_s, used_s in samples:
        cpu.note(at_s, used_s)
    return cpu.ratio


def test_the_peak_counts_and_not_the_mean_over_the_run() -> None:
    assert busiest(used(*[0.1] * 60, *[1.0] * 10, *[0.1] * 60)) == pytest.approx(1.0)
    assert busiest(used(*[0.4] * 100)) == pytest.approx(0.4)


def test_a_run_below_ten_seconds_has_its_mean() -> None:
    assert busiest(used(0.2, 0.4)) == pytest.approx(0.3)
    assert busiest([(0.0, 5.0)]) == 0.0
    assert busiest([]) == 0.0


def late(share: float, count: int) -> Histogram:
    found = Histogram()
    for number in range(count):
        found.record(0.5 if number < share * count else 0.001)
    return found


def test_lateness_is_that_of_the_worst_stage_with_enough_in_it() -> None:
    calm, busy, tiny = late(0, 10_000), late(0.05, 500), late(1, 3)
    assert worst_lateness([calm, busy])["p99_s"] == pytest.approx(0.5, rel=0.001)
    assert worst_lateness([calm, tiny])["p99_s"] == pytest.approx(0.001, rel=0.001)
    assert worst_lateness([])["p99_s"] is None
