"""The law of scalability: what is fitted, how sure it is, and how far it carries."""

import random
from collections.abc import Sequence

import pytest

from loadtests.usl import Interval, Point, Usl, fit

LOADS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96)


def points(
    law: Usl, loads: Sequence[float] = LOADS, noise: float = 0.0, seed: int = 0
) -> list[Point]:
    """Return what a shop of that law would show, with noise relative to its best."""
    chance, best = random.Random(seed), law.highest(max(loads))
    return [Point(n, law.at(n) + chance.gauss(0, noise * best)) for n in loads]


def covers(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def test_a_published_benchmark_gets_its_published_parameters() -> None:
    # SPEC SDM91 on a SPARCcenter 2000; N. Gunther and S. Moeding, the R package usl 3.0.
    loads = (1, 18, 36, 72, 108, 144, 216)
    scripts_per_hour = (64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2)
    found = fit([Point(*one) for one in zip(loads, scripts_per_hour, strict=True)])
    assert found.law.gamma == pytest.approx(89.9952330, rel=1e-5)
    assert found.law.alpha == pytest.approx(0.0277285, rel=1e-4)
    assert found.law.beta == pytest.approx(0.0001044, rel=1e-3)
    assert found.peak is not None
    assert found.peak.value == pytest.approx(96.5, abs=0.1)


@pytest.mark.parametrize("law", [Usl(50, 0.03, 0.0005), Usl(50, 0.2, 0.01), Usl(50, 0.03, 0)])
def test_known_parameters_are_found_again(law: Usl) -> None:
    found = fit(points(law, noise=0.005))
    assert found.law.gamma == pytest.approx(law.gamma, rel=0.1)
    assert found.law.alpha == pytest.approx(law.alpha, rel=0.2)
    assert found.law.beta == pytest.approx(law.beta, rel=0.1, abs=1e-5)
    assert found.capacity.value == pytest.approx(law.highest(96), rel=0.02)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    law = Usl(50, 0.03, 0.0005)
    fits = [fit(points(law, noise=0.03, seed=seed)) for seed in range(100)]
    for name, truth in (("gamma", 50), ("alpha", 0.03), ("beta", 0.0005)):
        held = sum(covers(getattr(one, name), truth) for one in fits)
        assert 88 <= held <= 99, f"{name}: {held} of 100"
    assert 88 <= sum(covers(one.capacity, law.highest(96)) for one in fits) <= 99
    assert 88 <= sum(one.peak is not None and covers(one.peak, law.peak) for one in fits) <= 99


def test_intervals_at_a_bound_are_not_too_narrow() -> None:
    fits = [fit(points(Usl(50, 0.03, 0), noise=0.03, seed=seed)) for seed in range(40)]
    assert sum(covers(one.beta, 0) for one in fits) >= 37
    assert sum(one.beta.high > 0 for one in fits) == 40
    assert sum(one.peak is None for one in fits) >= 37


def test_ends_of_an_interval_are_where_a_search_of_the_whole_plane_finds_them() -> None:
    from scipy.stats import f

    seen = points(Usl(50, 0.03, 0.0005), noise=0.03, seed=5)
    found = fit(seen)

    def least(alpha: float, beta: float) -> float:
        shape = [Usl(1, alpha, beta).at(one.concurrency) for one in seen]
        top = sum(s * one.per_s for s, one in zip(shape, seen, strict=True))
        gamma = top / sum(s * s for s in shape)
        return sum((gamma * s - one.per_s) ** 2 for s, one in zip(shape, seen, strict=True))

    allowed = least(found.law.alpha, found.law.beta) * (1 + f.ppf(0.95, 1, 7) / 7)
    alphas = [n * 0.0005 for n in range(160)]
    betas = [n * 1e-5 for n in range(100)]
    inside = [(a, b) for a in alphas for b in betas if least(a, b) <= allowed]
    assert found.alpha.low == pytest.approx(min(a for a, _ in inside), abs=0.001)
    assert found.alpha.high == pytest.approx(max(a for a, _ in inside), abs=0.001)
    assert found.beta.low == pytest.approx(min(b for _, b in inside), abs=2e-5)
    assert found.beta.high == pytest.approx(max(b for _, b in inside), abs=2e-5)


def test_without_a_fall_there_is_no_peak() -> None:
    found = fit(points(Usl(50, 0.1, 0), noise=0.01, seed=1))
    assert found.peak is None
    assert "the interval of beta includes 0" in found.no_peak


def test_a_peak_far_beyond_the_data_is_not_stated_and_the_limit_is_named() -> None:
    found = fit(points(Usl(50, 0.05, 0.00002), noise=1e-5))
    assert found.law.peak == pytest.approx(218, rel=0.05)
    assert found.peak is None
    assert "beyond 192, 2 times the largest that was measured" in found.no_peak
    assert found.capacity.value == pytest.approx(found.law.at(96))


def test_a_fit_refuses_to_extrapolate_further_than_the_data_carry() -> None:
    found = fit(points(Usl(50, 0.05, 0.0005)))
    assert found.at(192) == pytest.approx(Usl(50, 0.05, 0.0005).at(192), rel=1e-3)
    with pytest.raises(ValueError, match=r"193 is outside .* up to 192, 2 times the largest"):
        found.at(193)


def test_too_few_loads_are_refused() -> None:
    with pytest.raises(ValueError, match="5 loads; a fit needs 6 or more"):
        fit(points(Usl(50, 0.05, 0.0005), LOADS[:5]))
