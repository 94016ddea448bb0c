"""Whether a release got slower: what repeated runs of two releases can tell, and what not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, inf, isfinite, log
from statistics import median

from loadtests.ranks import Shift, dominance, p_greater, shift, smallest_p
from storewatch.core import names
from storewatch.core.evidence import Measurement
from storewatch.core.targets import Target, Verdict

# Of 100 builds that are the same, at most 5 may be called slower.
ALPHA = 0.05
# With 4 runs a side the smallest p is 1/70, which a correction for more than 3 measurements takes
# away, and with 3 or fewer a single odd run decides; with 5 it is 1/252, enough for 12.
FEWEST_RUNS = 5
SHOWN = (names.P50_S, names.P99_S)
# Normal quantiles at 95 and 80 %: what turns the width of an interval into a number of runs.
_Z_BOUND, _Z_POWER = 1.645, 0.842

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One measurement of two releases.

    Attributes:
        name: as in the evidence of a load test: `p95_s`, `p95_s.order`, `error_ratio`.
        baseline, candidate: one value of each run that has one.
        shift: of the candidate, as a logarithm for times, as a difference for ratios; None: too
            few runs.
        dominance: Cliff's delta: 1 when each run of the candidate is above each of the baseline.
        p: of Mann and Whitney's test against "slower"; corrected once it is in a comparison.
        tolerated: what the shift must stay below; None: shown, not judged.
    """

    name: str
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    shift: Shift | None
    dominance: float | None
    p: float | None
    tolerated: float | None

    @property
    def relative(self) -> bool:
        """Whether releases are compared by their ratio; shares of errors by their difference."""
        return _relative(self.name)

    @property
    def verdict(self) -> Verdict | None:
        """FAIL: slower, surely and by too much; PASS: surely not; None: not judged."""
        if self.tolerated is None:
            return None
        if self.shift is None or self.p is None:
            return Verdict.INCONCLUSIVE
        if self.p <= ALPHA and self.shift.estimate >= self.tolerated:
            return Verdict.FAIL
        return Verdict.PASS if self.shift.high < self.tolerated else Verdict.INCONCLUSIVE

    @property
    def runs_needed(self) -> int | None:
        """About how many runs a side would let four of five identical builds pass.

        Source: the interval is as wide as 1/sqrt(runs); it is to end below what is tolerated by
        the normal quantile of 80 %. None where no interval says how much runs differ.
        """
        if self.shift is None or not self.tolerated or not isfinite(self.shift.high):
            return None
        half = (self.shift.high - self.shift.low) / 2 * (1 + _Z_POWER / _Z_BOUND)
        runs = min(len(self.baseline), len(self.candidate))
        return max(runs + 1, ceil(runs * (half / self.tolerated) ** 2))

    def shown(self) -> Shift | None:
        """Return the shift as it is spoken of: ratios of times, differences of shares."""
        if self.shift is None or not self.relative:
            return self.shift
        return Shift(*(_exp(one) for one in (self.shift.estimate, self.shift.low, self.shift.high)))

    def medians(self) -> tuple[float | None, float | None]:
        """Return the medians of the baseline and of the candidate."""
        return (
            median(self.baseline) if self.baseline else None,
            median(self.candidate) if self.candidate else None,
        )


def compare(
    baseline: Sequence[Values],
    candidate: Sequence[Values],
    tolerated_ratio: float,
    tolerated_errors: float,
) -> list[Finding]:
    """Return what the runs of two releases tell about each measurement.

    Judged are p95 of the whole, of each step and of whatever else has a target, and the share of
    errors: what fails fast is not fast. p of all that is judged is corrected together, so that a
    build that is the same is called slower in at most 5 of 100 comparisons. That none is slower
    needs no correction: a comparison passes only when each measurement does (R. L. Berger,
    Multiparameter hypothesis testing and acceptance sampling, Technometrics 24, 1982).

    Args:
        baseline, candidate: the measurements of each run, by name.
        tolerated_ratio: candidate over baseline that is too slow, such as 1.05.
        tolerated_errors: growth of `error_ratio` that is too much, such as 0.001.
    """
    limits: dict[str, float | None] = {
        name: log(tolerated_ratio) for name in _questions([*baseline, *candidate])
    }
    limits |= {names.ERROR_RATIO: tolerated_errors} | dict.fromkeys(SHOWN)
    found = [
        _finding(name, _values(name, baseline), _values(name, candidate), limit)
        for name, limit in limits.items()
    ]
    return corrected(found)


def too_few(baseline: int, candidate: int, questions: int) -> bool:
    """Return whether so many runs cannot tell, whatever they measured."""
    least = smallest_p(baseline, candidate)
    return min(baseline, candidate) < FEWEST_RUNS or least * questions > ALPHA


def fewest_runs(questions: int) -> int:
    """Return how many runs a side so many measurements need."""
    runs = FEWEST_RUNS
    while too_few(runs, runs, questions):
        runs += 1
    return runs


def questions(found: Sequence[Finding]) -> int:
    """Return how many measurements are judged."""
    return sum(one.tolerated is not None for one in found)


def corrected(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings with p corrected for how many are judged; too few runs have none.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 6 (1979).
    """
    total, worst = questions(found), 0.0
    order = sorted(
        (one for one in found if one.tolerated is not None and one.p is not None),
        key=lambda one: one.p or 0.0,
    )
    by_name = {}
    for number, one in enumerate(order):
        worst = max(worst, min(1.0, (total - number) * (one.p or 0.0)))
        enough = not too_few(len(one.baseline), len(one.candidate), total)
        by_name[one.name] = worst if enough else None
    return [replace(one, p=by_name.get(one.name)) for one in found]


def measurements(found: Sequence[Finding]) -> list[Measurement]:
    """Return the findings as measurements of evidence; what cannot be told has no value."""
    measured = []
    for one in found:
        stem, unit = _stem(one.name), "ratio"
        shown, part = one.shown(), one.name.partition(".")[2]
        suffix = f".{part}" if part else ""
        if one.tolerated is not None:
            told = shown is not None and one.verdict is not Verdict.INCONCLUSIVE
            value = shown.estimate if shown and told else None
            bound = _exp(one.tolerated) if one.relative else one.tolerated
            target = Target("<", round(bound, 6))
            measured.append(Measurement(f"{stem}{suffix}", value, unit, target))
        if shown is not None:
            bounds = {"estimate": shown.estimate, "low": shown.low, "high": shown.high}
            measured += [
                Measurement(f"{stem}_{name}{suffix}", value if isfinite(value) else None, unit)
                for name, value in bounds.items()
            ]
        rest = {"dominance": one.dominance, "p": one.p}
        measured += [
            Measurement(f"{stem}_{name}{suffix}", value, "")
            for name, value in rest.items()
            if value is not None
        ]
    return measured


def _questions(runs: Sequence[Values]) -> list[str]:
    """Return every p95 that was measured, those with the same values in all runs once.

    The only step of a journey is the whole of it: to ask twice would cost power.
    """
    every = dict.fromkeys(name for run in runs for name in run)
    wanted = [name for name in every if name.partition(".")[0] == names.P95_S]
    asked: dict[tuple[float | None, ...], str] = {}
    for name in (names.P95_S, *wanted):
        asked.setdefault(tuple(run.get(name) for run in runs), name)
    return list(asked.values())


def _values(name: str, runs: Sequence[Values]) -> tuple[float, ...]:
    """Return what the runs have of it; a time of 0 is none and has no logarithm."""
    found = (value for run in runs if (value := run.get(name)) is not None)
    return tuple(value for value in found if value > 0 or not _relative(name))


def _finding(
    name: str, baseline: tuple[float, ...], candidate: tuple[float, ...], limit: float | None
) -> Finding:
    if not baseline or not candidate:
        return Finding(name, baseline, candidate, None, None, None, limit)
    before, after = baseline, candidate
    if _relative(name):
        before, after = tuple(map(log, baseline)), tuple(map(log, candidate))
    return Finding(
        name,
        baseline,
        candidate,
        shift(before, after, ALPHA),
        dominance(baseline, candidate),
        p_greater(baseline, candidate),
        limit,
    )


def _relative(name: str) -> bool:
    return not name.startswith(names.ERROR_RATIO)


def _stem(name: str) -> str:
    """Return what a ratio or a difference of a measurement is called."""
    whole = name.partition(".")[0]
    return f"{whole.removesuffix('_s')}_ratio" if _relative(name) else f"{whole}_increase"


def _exp(value: float) -> float:
    return exp(value) if value < inf else inf
