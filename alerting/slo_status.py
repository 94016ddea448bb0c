"""Error budgets as Prometheus has them now, and what the policy makes of them: a gate's input."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alerting.budget_policy import PolicyLevel, level_of
from alerting.slo import Slo
from alerting.slo_rules import ALL_COUNT, BAD_COUNT, CURRENT_BURN, REMAINING
from storewatch.core.targets import Verdict, worst
from storewatch.store.prometheus_api import vector

_ASKED = (REMAINING, CURRENT_BURN, BAD_COUNT, ALL_COUNT)


@dataclass(frozen=True, slots=True)
class SloStatus:
    """What is known of one SLO.

    Attributes:
        slo: the objective.
        remaining: share of the error budget that is left; below 0 when overspent; None: no data.
        burn_rate: how fast it goes now; 1 lasts exactly for the period.
        bad_events, events: counts in the period; None where the indicator has none.
        level: the highest level of the policy that is reached.
        note: why there is no data, where that can be told.
    """

    slo: Slo
    remaining: float | None
    burn_rate: float | None
    bad_events: float | None
    events: float | None
    level: PolicyLevel | None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """PASS, FAIL once the budget is gone or releases are frozen, INCONCLUSIVE without data."""
        if self.remaining is None:
            return Verdict.INCONCLUSIVE
        over = self.level is not None and (self.level.freeze or self.remaining <= 0)
        return Verdict.FAIL if over else Verdict.PASS

    @property
    def state(self) -> str:
        """The state in a word or two."""
        if self.remaining is None:
            return "no data"
        if self.level is None:
            return "ok"
        return "frozen" if self.level.freeze else f"{self.level.percent} % spent"

    def to_json(self) -> dict[str, Any]:
        """Return the status as one JSON object."""
        level = self.level
        policy = level and {"spent": level.spent, "action": level.action, "freeze": level.freeze}
        return {
            **describe(self.slo),
            "error_budget_remaining_ratio": self.remaining,
            "burn_rate": self.burn_rate,
            "bad_events": self.bad_events,
            "events": self.events,
            "state": self.state,
            "policy": policy,
            "verdict": self.verdict.value,
            "note": self.note,
        }


def describe(slo: Slo) -> dict[str, Any]:
    """Return what was promised, as one JSON object."""
    return {
        "id": slo.id,
        "service": slo.service,
        "name": slo.name,
        "description": slo.description,
        "objective": slo.objective,
        "period_days": slo.period_days,
        "indicator": slo.sli.kind.value,
        "alert": slo.alerting.name,
        "spec": slo.spec,
        "file": str(slo.file),
    }


def verdict_of(statuses: Sequence[SloStatus]) -> Verdict:
    """Return the verdict of several: a spent budget outweighs missing data."""
    return worst([status.verdict for status in statuses])


def read_status(
    url: str, slos: Sequence[Slo], policy: Sequence[PolicyLevel], events_min: int
) -> list[SloStatus]:
    """Return the status of SLOs, in one look.

    Args:
        url: of Prometheus.
        slos: which.
        policy: the error-budget policy.
        events_min: bad events below which nothing is made of a spent budget.

    Raises:
        UnreachableError: Prometheus does not answer as it should.
    """
    names = "|".join(_ASKED)
    found: dict[tuple[str, str], list[float]] = {}
    for labels, value in vector(url, f'{{__name__=~"{names}"}}'):
        if not math.isnan(value):
            found.setdefault((labels["__name__"], labels.get("sloth_id", "")), []).append(value)
    return [_status(url, slo, found, policy, events_min) for slo in slos]


def _status(
    url: str,
    slo: Slo,
    found: dict[tuple[str, str], list[float]],
    policy: Sequence[PolicyLevel],
    events_min: int,
) -> SloStatus:
    """Return one status; of several series of one SLO the worst, of counts the sum."""
    remaining = min(found.get((REMAINING, slo.id), ()), default=None)
    bad, total = (found.get((name, slo.id)) for name in (BAD_COUNT, ALL_COUNT))
    bad_events = sum(bad) if bad else None
    level = None if remaining is None else level_of(policy, remaining, bad_events, events_min)
    return SloStatus(
        slo=slo,
        remaining=remaining,
        burn_rate=max(found.get((CURRENT_BURN, slo.id), ()), default=None),
        bad_events=bad_events,
        events=sum(total) if total else None,
        level=level,
        note=_why(url, slo) if remaining is None else "",
    )


def _why(url: str, slo: Slo) -> str:
    """Return why an indicator has no data, "" when that cannot be told."""
    for name, bound in slo.sli.buckets:
        bounds = {labels["le"] for labels, _ in vector(url, f"count by (le) ({name}_bucket)")}
        if bounds and float(bound) not in {float(one) for one in bounds}:
            known = ", ".join(sorted(bounds, key=float))
            return f"{name} has no bucket at {bound}; it has {known}"
    return ""
