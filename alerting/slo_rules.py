"""SLOs -> recording rules, under Sloth's names and labels.

What differs from Sloth's own output, on purpose: ratios over long windows are bad events by all
events, not a mean of five-minute ratios in which a quiet minute weighs as much as a busy one; a
ratio is 0, not NaN, while nothing happens, and is there before the first bad event; maintenance
is left out.

Rules of one SLO are spread over groups by how often they are worth their cost: what pages at once
at every evaluation, what changes over hours and days every few minutes.
"""

from dataclasses import dataclass
from typing import Any

from alerting.maintenance import ACTIVE
from alerting.sli import NOTHING, Kind, at
from alerting.slo import Slo
from alerting.windows import (
    BASE_WINDOW,
    DIRECT_WINDOWS,
    FAST_WINDOWS,
    LONGEST_DIRECT,
    PERIOD_WINDOWS,
    SLOW_WINDOWS,
    BurnWindow,
    burn_windows,
)

Rule = dict[str, Any]

SEEN_FOR_S = 240
"""Records are forgotten five minutes after they were written."""

BAD = f"slo:sli_errors:rate{BASE_WINDOW}"
ALL = f"slo:sli_events:rate{BASE_WINDOW}"
ALL_BEFORE = f"slo:sli_events_max:rate{BASE_WINDOW}"
BUDGET_BAD = f"slo:budget_errors:rate{BASE_WINDOW}"
BUDGET_ALL = f"slo:budget_events:rate{BASE_WINDOW}"
RATIO = "slo:sli_error:ratio_rate"
REMAINING = "slo:period_error_budget_remaining:ratio"
CURRENT_BURN = "slo:current_burn_rate:ratio"
SLOW_BURN = "slo:slow_burn:ratio"
BAD_EVENTS = "slo:bad_events:count"
ALL_EVENTS = "slo:events:count"
BAD_COUNT = "slo:period_bad_events:count"
ALL_COUNT = "slo:period_events:count"
OBJECTIVE = "slo:objective:ratio"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An SLO and how its records are made.

    Attributes:
        slo: the objective.
        every_s: seconds between two evaluations of what pages at once.
        long_every_s: seconds between two evaluations of what changes over hours.
        maintenance: names of the windows that its budget leaves out.
    """

    slo: Slo
    every_s: float
    long_every_s: float
    maintenance: tuple[str, ...] = ()

    @property
    def base_every_s(self) -> float:
        """Seconds between two samples of the base window."""
        return self.long_every_s if self.slo.sli.windowed else self.every_s

    @property
    def selector(self) -> str:
        """What selects its records."""
        return f'{{sloth_id="{self.slo.id}"}}'

    @property
    def period(self) -> str:
        """Its period as a window."""
        return PERIOD_WINDOWS[self.slo.period_days]

    @property
    def pairs(self) -> tuple[BurnWindow, ...]:
        """The pairs of windows that alerts compare."""
        return burn_windows()[self.slo.period_days].windows

    def counts_bad(self, window: str) -> bool:
        """Return whether the bad events of a window are recorded, because an alert asks for them.

        Of a window that is asked directly all events are, to be multiplied with its ratio.
        """
        asked = {pair.long for pair in self.pairs}
        direct = self.slo.sli.windowed and window in DIRECT_WINDOWS
        return self.slo.sli.counted and window in asked and not direct

    @property
    def bad(self) -> str:
        """The series of bad events that windows add up."""
        return f"{BUDGET_BAD if self.maintenance else BAD}{self.selector}"

    @property
    def all(self) -> str:
        """The series of all events that windows add up."""
        return f"{BUDGET_ALL if self.maintenance else ALL}{self.selector}"

    def record(self, name: str, expr: str, **labels: str) -> Rule:
        """Return a recording rule with the SLO's labels."""
        own = {**self.slo.record_labels, **labels}
        return {"record": name, "expr": expr, "labels": dict(sorted(own.items()))}

    def under_maintenance(self, window: str) -> str:
        """Return what is there when a window holds some of the time that is left out."""
        names = "|".join(self.maintenance)
        return f'max_over_time({ACTIVE}{{window=~"{names}"}}[{window}]) > 0'


def recording_groups(slo: Recorded) -> list[Rule]:
    """Return the groups of an SLO's records, under Sloth's names where it has them."""
    fast = [rule for window in FAST_WINDOWS for rule in _window(slo, window)]
    slow = [rule for window in SLOW_WINDOWS for rule in _window(slo, window)]
    burn = f"{RATIO}{BASE_WINDOW}{slo.selector} / {slo.slo.error_budget_ratio:.12g}"
    slow.append(slo.record(CURRENT_BURN, burn))
    if slo.slo.sli.windowed and slo.slo.sli.counted:
        hour = f"{_sum(f'{ALL}{slo.selector}', LONGEST_DIRECT)} * {slo.base_every_s:g}"
        slow.append(slo.record(f"{ALL_EVENTS}{LONGEST_DIRECT}", hour))
    base, name = _base(slo), slo.slo.id
    if slo.slo.sli.windowed:
        slow = [*base, *slow]
    else:
        fast = [*base, *fast]
    rarely, seldom = (f"{s:g}s" for s in (slo.long_every_s, min(2 * slo.long_every_s, SEEN_FOR_S)))
    return [
        {"name": f"sloth-slo-sli-recordings-{name}", "rules": fast},
        {"name": f"sloth-slo-sli-long-{name}", "interval": rarely, "rules": slow},
        {"name": f"sloth-slo-period-{name}", "interval": seldom, "rules": _period(slo)},
        {"name": f"sloth-slo-meta-recordings-{name}", "interval": seldom, "rules": _meta(slo)},
    ]


def _base(slo: Recorded) -> list[Rule]:
    sli = slo.slo.sli
    bad, total = at(sli.bad, BASE_WINDOW), at(sli.total, BASE_WINDOW)
    rules = [slo.record(BAD, bad), slo.record(ALL, total)]
    if slo.maintenance:
        # For as long as the base window still holds a part of it.
        hidden = slo.under_maintenance(BASE_WINDOW)
        for name, source in ((BUDGET_BAD, BAD), (BUDGET_ALL, ALL)):
            told = f"{source}{slo.selector}"
            rules.append(slo.record(name, f"({told} unless on() ({hidden})) or 0 * {told}"))
    return rules


def _window(slo: Recorded, window: str) -> list[Rule]:
    """Return the ratio over a window, after the count of bad events where an alert asks for it."""
    sli, rules = slo.slo.sli, []
    added = _share(_sum(slo.bad, window), _sum(slo.all, window))
    asked = at(sli.ratio, window)
    if slo.counts_bad(window):
        name = f"{BAD_EVENTS}{window}"
        rules.append(slo.record(name, f"{_sum(slo.bad, window)} * {slo.base_every_s:g}"))
        total = f"{_sum(slo.all, window)} * {slo.base_every_s:g}"
        added = _share(f"{name}{slo.selector}", total)
    if not sli.windowed or (window not in DIRECT_WINDOWS and sli.kind is not Kind.RAW):
        expr = added
    elif slo.maintenance and window != BASE_WINDOW:
        hidden = slo.under_maintenance(window)
        expr = f"(({asked}) unless on() ({hidden})) or (({added}) and on() ({hidden}))"
    else:
        expr = asked
    return [*rules, slo.record(f"{RATIO}{window}", expr, sloth_window=window)]


def _sum(series: str, window: str) -> str:
    return f"sum_over_time({series}[{window}])"


def _share(bad: str, total: str) -> str:
    """Return bad by all of two records, which are there together: 0 where there is nothing."""
    return f"{bad} / clamp_min({total}, {NOTHING})"


def _period(slo: Recorded) -> list[Rule]:
    """Return what is known of the period: counts where there are any, ratio, budget."""
    budget, period = f"{slo.slo.error_budget_ratio:.12g}", slo.period
    if not slo.slo.sli.counted:
        rules = _window(slo, period)
    else:
        rules = [
            slo.record(name, f"{_sum(series, period)} * {slo.base_every_s:g}")
            for name, series in ((BAD_COUNT, slo.bad), (ALL_COUNT, slo.all))
        ]
        ratio = _share(f"{BAD_COUNT}{slo.selector}", f"{ALL_COUNT}{slo.selector}")
        rules.append(slo.record(f"{RATIO}{period}", ratio, sloth_window=period))
    return [
        *rules,
        slo.record("slo:period_burn_rate:ratio", f"{RATIO}{period}{slo.selector} / {budget}"),
        slo.record(REMAINING, f"1 - slo:period_burn_rate:ratio{slo.selector}"),
    ]


def _meta(slo: Recorded) -> list[Rule]:
    spec, budget = slo.slo, slo.slo.error_budget_ratio
    info = {
        **spec.info_labels,
        "sloth_mode": "storewatch",
        "sloth_objective": f"{spec.objective:g}",
        "sloth_spec": spec.spec,
    }
    return [
        slo.record(OBJECTIVE, f"vector({1 - budget:.12g})"),
        slo.record("slo:error_budget:ratio", f"vector({budget:.12g})"),
        slo.record("slo:time_period:days", f"vector({spec.period_days})"),
        slo.record("sloth_slo_info", "vector(1)", **info),
    ]
