"""SLOs -> alerts: a budget that burns, a budget that is spent, an indicator that is gone."""

from collections.abc import Sequence

from alerting.budget_policy import EXHAUSTED, SPENT, PolicyLevel
from alerting.slo import AlertSpec
from alerting.slo_rules import (
    ALL,
    ALL_BEFORE,
    ALL_EVENTS,
    BAD,
    BAD_COUNT,
    BAD_EVENTS,
    OBJECTIVE,
    RATIO,
    REMAINING,
    SLOW_BURN,
    Recorded,
    Rule,
)
from alerting.windows import BASE_WINDOW, FAST_WINDOWS, BurnWindow, Severity, window_s

MISSING = "SliMissing"

# An indicator is called gone when in this time, at the rate it had before, there should have been
# enough events: a service that is idle or being deployed has none, and nobody is told.
_GONE_AFTER_S = 20 * 60
_GONE_HOLD_S = 15 * 60
_REMEMBERED = "3d"

_ANY_WINDOW = "ignoring (sloth_window)"


def burn_groups(slo: Recorded, events_min: int, runbook: str) -> list[Rule]:
    """Return the groups of an SLO's burn-rate alerts: slow burns are not looked for as often.

    Args:
        slo: the SLO.
        events_min: bad events in the long window below which no alert fires.
        runbook: path of an alert's page, with {alert} in it.
    """
    groups: dict[bool, list[Rule]] = {True: [], False: []}  # by whether they are looked for often
    for severity in Severity:
        if _spec(slo, severity).disable:
            continue
        conditions = []
        pairs = [w for w in slo.pairs if w.severity is severity]
        often = any(pair.long in FAST_WINDOWS for pair in pairs)
        for pair in pairs:
            condition = _burns(slo, pair, events_min)
            if often and pair.long not in FAST_WINDOWS:
                name = f"{SLOW_BURN}{pair.long}"
                groups[False].append(slo.record(name, condition))
                condition = f"{name}{slo.selector}"
            conditions.append(condition)
        expr = "\nor\n".join(conditions)
        groups[often].append(_burn_alert(slo, severity, expr, runbook))
    rarely = f"{slo.long_every_s:g}s"
    return [
        {"name": f"sloth-slo-alerts-{slo.slo.id}", "rules": groups[True]},
        {"name": f"sloth-slo-alerts-slow-{slo.slo.id}", "interval": rarely, "rules": groups[False]},
    ]


def _spec(slo: Recorded, severity: Severity) -> AlertSpec:
    alerting = slo.slo.alerting
    return alerting.page_alert if severity is Severity.PAGE else alerting.ticket_alert


def _burn_alert(slo: Recorded, severity: Severity, expr: str, runbook: str) -> Rule:
    alerting, spec, days = slo.slo.alerting, _spec(slo, severity), slo.slo.period_days
    labels = {
        "severity": severity.value,
        **alerting.labels,
        **spec.labels,
        "sloth_severity": severity.value,
    }
    summary = (
        f"The error budget of {slo.slo.name} burns too fast"
        f" ({slo.slo.objective:g} % over {days} days)"
    )
    return {
        "alert": alerting.name,
        "expr": expr,
        "labels": dict(sorted(labels.items())),
        "annotations": {
            "summary": summary,
            "description": slo.slo.description,
            **alerting.annotations,
            **spec.annotations,
            "runbook": runbook.format(alert=alerting.name),
        },
    }


def _burns(slo: Recorded, pair: BurnWindow, events_min: int) -> str:
    """Return the condition of one pair of windows.

    Besides both burn rates it asks that the short window was watched in full (before that both
    windows hold the same few minutes) and that the long one holds enough bad events.
    """
    limit = f"{pair.factor(slo.slo.period_days):.12g} * {slo.slo.error_budget_ratio:.12g}"
    short, long = (f"{RATIO}{window}{slo.selector}" for window in (pair.short, pair.long))
    conditions = [f"{short} > {limit}", f"{long} > {limit}"]
    if slo.counts_bad(pair.long):
        conditions.append(f"{BAD_EVENTS}{pair.long}{slo.selector} >= {events_min}")
    elif slo.slo.sli.counted:
        events = f"{ALL_EVENTS}{pair.long}{slo.selector}"
        conditions.append(f"{long} * {_ANY_WINDOW} {events} >= {events_min}")
    conditions.append(f"{ALL}{slo.selector} offset {pair.short}")
    text = f"\n  and {_ANY_WINDOW} ".join(conditions)
    return f"max without (sloth_window) (\n  {text}\n)"


def policy_group(
    policy: Sequence[PolicyLevel], events_min: int, runbook: str, every_s: float
) -> list[Rule]:
    """Return the group of the error-budget policy's alerts, which hold for every SLO.

    Args:
        policy: the levels, in order; the highest that is reached speaks for those below.
        events_min: bad events in the period below which nothing is made of a spent budget.
        runbook: path of an alert's page, with {alert} in it.
        every_s: seconds between two evaluations.
    """
    rules = []
    beyond = [f" > {level.remaining:.12g}" for level in policy[1:]] + [""]
    for level, not_yet in zip(policy, beyond, strict=True):
        if level.severity is None:
            continue
        alert = EXHAUSTED if level.freeze else SPENT
        rules.append(
            {
                "alert": alert,
                "expr": (
                    f"max without (sloth_window) ({REMAINING} <= {level.remaining:.12g}{not_yet})\n"
                    f"unless ({BAD_COUNT} < {events_min})"
                ),
                "for": "5m",
                "keep_firing_for": "15m",
                "labels": {"severity": level.severity.value, "spent": level.percent},
                "annotations": {
                    "summary": (
                        f"{level.percent} % of the error budget of {{{{ $labels.sloth_id }}}}"
                        f" is spent - {level.action}"
                    ),
                    "runbook": runbook.format(alert=alert),
                },
            }
        )
    group = {"name": "storewatch-budget-policy", "interval": f"{every_s:g}s", "rules": rules}
    return [group] if rules else []


def missing_group(
    slos: Sequence[Recorded], events_min: int, runbook: str, every_s: float
) -> list[Rule]:
    """Return the group of the alerts on indicators that are gone.

    Args:
        slos: all of them.
        events_min: how many events must be missing.
        runbook: path of an alert's page, with {alert} in it.
        every_s: seconds between two evaluations.
    """
    if not slos:
        return []
    busy = f"last_over_time({ALL_BEFORE}[{_REMEMBERED}]) * {_GONE_AFTER_S} >= {events_min}"
    if others := sorted(one.slo.id for one in slos if not one.slo.sli.counted):
        shares = f'sloth_id=~"{"|".join(others)}"'
        busy = f"({busy}) or last_over_time({ALL}{{{shares}}}[{_REMEMBERED}]) > 0"
    # Counters that are gone make their rate fall for the length of its window before it is gone,
    # too: what was there before they went is kept.
    before_s = window_s(BASE_WINDOW) + 2 * every_s
    rules = [
        {"record": ALL_BEFORE, "expr": f"max_over_time({ALL}[{before_s:.0f}s]) and {ALL}"},
        _missing(
            "gone",
            f"({busy}) unless on (sloth_id) {BAD}",
            f"{_GONE_HOLD_S}s",
            "had events and has no data now",
            runbook,
        ),
        _missing(
            "never",
            f"{OBJECTIVE} unless on (sloth_id) {RATIO}1d",
            "1d",
            "has had no data for a day",
            runbook,
        ),
    ]
    return [{"name": "storewatch-sli-missing", "interval": f"{every_s:g}s", "rules": rules}]


def _missing(sign: str, expr: str, hold: str, what: str, runbook: str) -> Rule:
    return {
        "alert": MISSING,
        "expr": expr,
        "for": hold,
        "labels": {"severity": Severity.TICKET.value, "sign": sign},
        "annotations": {
            "summary": f"The indicator of {{{{ $labels.sloth_id }}}} {what}",
            "runbook": runbook.format(alert=MISSING),
        },
    }
