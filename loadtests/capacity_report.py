"""What is said of a capacity: measurements, notes with their verdicts, and a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.capacity import Capacity
from loadtests.sizing import SHOPPERS, Sizing
from loadtests.usl import EXTRAPOLATION, Fit, Interval
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.figures import number
from storewatch.core.targets import Verdict
from storewatch.pages import Curve, Span, page_environment

_TEMPLATES = Path(__file__).parent / "templates"
_VISITS = "journeys/s"
_CURVE_POINTS = 120
# The law rounds the knee of a shop with a fixed number of slots; more than this is worth saying.
_ROUNDED_RATIO = 1.05


def measurements(
    found: Capacity, sizings: Mapping[str, Sizing], orders_per_s: float | None
) -> list[Measurement]:
    """Return the measurements; what cannot be said has no value."""
    fit = found.fit
    rows: list[tuple[str, float | None, str]] = [
        ("measured_per_s", found.best_per_s, _VISITS),
        *_interval("capacity", fit.capacity if fit else None, _VISITS, "_per_s"),
        *_interval("usl_gamma", fit.gamma if fit else None, _VISITS),
        *_interval("usl_alpha", fit.alpha if fit else None, ""),
        *_interval("usl_beta", fit.beta if fit else None, ""),
        *_interval("peak_concurrency", fit.peak if fit else None, "journeys"),
        ("fit_r2_ratio", fit.r2 if fit else None, "ratio"),
        ("loads", float(sum(not one.left_out for one in found.steps)), "loads"),
    ]
    names = [f"instances_needed.shoppers:{shoppers}" for shoppers in SHOPPERS]
    if orders_per_s is not None:
        rows.append(("orders_per_s", orders_per_s, "orders/s"))
        names = ["instances_needed", *names]
    values = [one.instances for one in sizings.values()] or [None] * len(names)
    rows += [(name, one, "instances") for name, one in zip(names, values, strict=True)]
    return [Measurement(name, value, unit) for name, value, unit in rows]


def _interval(
    name: str, found: Interval | None, unit: str, suffix: str = ""
) -> list[tuple[str, float | None, str]]:
    value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
    return [
        (f"{name}{suffix}", value, unit),
        (f"{name}_low{suffix}", low, unit),
        (f"{name}_high{suffix}", high, unit),
    ]


def conclusions(
    found: Capacity, sizings: Mapping[str, Sizing], orders_per_s: float | None
) -> tuple[list[str], list[Verdict]]:
    """Return what a person should know, and the verdicts below PASS that follow from it.

    The answer to a question of orders is judged by itself: where it needs no more than was
    measured, it does not matter that the limit was not reached.
    """
    notes = [f"{verdict}: {why}" for verdict, why in found.doubts]
    verdicts = [verdict for verdict, _ in found.doubts]
    notes += [f"{one.name} is left out: {one.left_out}" for one in found.steps if one.left_out]
    if found.fit is None:
        return notes, verdicts
    notes.append(_peak(found.fit))
    if found.reached and found.fit.capacity.value > _ROUNDED_RATIO * found.best_per_s:
        notes.append(
            f"the law says {found.fit.capacity.value / found.best_per_s - 1:.0%} more than the best"
            " step: the shop fills up abruptly, the law rounds that; trust measured_per_s"
        )
    if not found.reached:
        notes.append(
            f"the limit was not reached: the shop kept up with every step, the last at"
            f" {_rate(found.best_per_s)} visits/s; capacity is at least that, load further"
        )
        if orders_per_s is None:
            verdicts.append(Verdict.INCONCLUSIVE)
    if orders_per_s is not None:
        line, verdict = _answer(*next(iter(sizings.items())), found.best_per_s)
        notes.append(line)
        verdicts += [verdict] if verdict else []
    return notes, verdicts


def _peak(fit: Fit) -> str:
    if fit.peak is None:
        return f"no peak within what was measured: {fit.no_peak}"
    at, seen = fit.peak, "measured" if fit.peak.value <= fit.largest else "beyond what was measured"
    return (
        f"throughput peaks at a concurrency of {at.value:.4g} ({at.low:.4g} to {at.high:.4g}),"
        f" {seen}; more load makes the shop slower"
    )


def _answer(name: str, one: Sizing, best_per_s: float) -> tuple[str, Verdict | None]:
    """Return the answer to the question of orders, and its verdict where that is not PASS."""
    need = f"{name} are {_rate(one.per_s)} visits/s"
    if one.instances is None:
        return f"FAIL: {need}: no number of instances carries them, what is shared is full", (
            Verdict.FAIL
        )
    line = f"{need}: {number(one.instances, 'instances')}"
    if one.measured:
        return line, None
    return (
        f"INCONCLUSIVE: {line}, a hypothesis beyond {EXTRAPOLATION:g} times the"
        f" {_rate(best_per_s)} visits/s that were measured: load-test it",
        Verdict.INCONCLUSIVE,
    )


def render(
    evidence: Evidence,
    found: Capacity,
    sizings: Mapping[str, Sizing],
    order_ratio: float | None,
    notes: Sequence[str],
    assumptions: Sequence[str],
) -> str:
    """Return the report as HTML that opens without a network."""
    used = [(one.concurrency, one.per_s) for one in found.steps if not one.left_out]
    curves = [Curve("measured", "good", sorted(used), dots=True)]
    if found.fit is not None:
        curves.append(_curve(found.fit))
    environment = page_environment(_TEMPLATES)
    environment.filters["rate"] = _rate
    return environment.get_template("capacity.html").render(
        evidence=evidence,
        found=found,
        curves=curves,
        spans=[Span("extrapolated", found.fit.largest, found.fit.limit)] if found.fit else [],
        planned=found.planned_per_s,
        sizings=list(sizings.items()),
        ratio=order_ratio,
        notes=notes,
        assumptions=assumptions,
    )


def _rate(per_s: float) -> str:
    """Write a rate for people: a large one to the last digit, without powers of ten."""
    return number(round(per_s) if per_s >= 100 else per_s)


def _curve(fit: Fit) -> Curve:
    marks = [fit.limit * n / _CURVE_POINTS for n in range(1, _CURVE_POINTS + 1)]
    return Curve("the law", "line", [(mark, fit.at(mark)) for mark in marks])
