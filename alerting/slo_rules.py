"""SLOs -> recording rules and burn-rate alerts, under Sloth's names and labels.

Two things differ from Sloth's own output, on purpose. Ratios over long windows are bad events by
all events, not a mean of five-minute ratios in which a quiet minute weighs as much as a busy one.
And a ratio is 0, not NaN, while nothing happens, and exists before the first bad event.
"""

from typing import Any

from alerting.slo import Events, Slo, SloFile
from alerting.windows import (
    BASE_WINDOW,
    BURN_WINDOWS,
    DIRECT_WINDOWS,
    PERIOD_DAYS,
    SUMMED_WINDOWS,
    BurnWindow,
    Severity,
    window_s,
)

Rule = dict[str, Any]

_ERRORS = f"slo:sli_errors:rate{BASE_WINDOW}"
_EVENTS = f"slo:sli_events:rate{BASE_WINDOW}"


def slo_groups(file: SloFile, *, interval_s: float, events_min: int, runbook: str) -> list[Rule]:
    """Return the rule groups of a Sloth file.

    Args:
        file: the SLOs of one service.
        interval_s: seconds between two evaluations.
        events_min: bad events in the long window below which no alert fires.
        runbook: path of an alert's page, with {alert} in it.
    """
    groups: list[Rule] = []
    for slo in file.slos:
        labels = _labels(file, slo)
        name = f"{file.service}-{slo.name}"
        groups += [
            {"name": f"sloth-slo-sli-recordings-{name}", "rules": _direct(slo, labels)},
            {
                "name": f"sloth-slo-sli-long-{name}",
                "interval": "1m",
                "rules": _summed(slo, labels),
            },
            {"name": f"sloth-slo-meta-recordings-{name}", "rules": _meta(file, slo, labels)},
            {
                "name": f"sloth-slo-alerts-{name}",
                "rules": [
                    _alert(slo, labels, severity, interval_s, events_min, runbook)
                    for severity in Severity
                    if not _spec(slo, severity).disable
                ],
            },
        ]
    return groups


def error_ratio(errors: str, total: str) -> str:
    """Return bad by all events: 0 without events or without a series of bad ones, never NaN."""
    return f"(({errors}) or 0 * ({total})) / (({total}) > 0) or 0 * ({total})"


def _labels(file: SloFile, slo: Slo) -> dict[str, str]:
    return {
        **file.labels,
        **slo.labels,
        "sloth_id": f"{file.service}-{slo.name}",
        "sloth_service": file.service,
        "sloth_slo": slo.name,
    }


def _selector(labels: dict[str, str]) -> str:
    return f'{{sloth_id="{labels["sloth_id"]}"}}'


def _record(name: str, expr: str, labels: dict[str, str]) -> Rule:
    return {"record": name, "expr": expr, "labels": dict(sorted(labels.items()))}


def _direct(slo: Slo, labels: dict[str, str]) -> list[Rule]:
    events = slo.sli.events
    errors, total = events.errors(BASE_WINDOW), events.total(BASE_WINDOW)
    return [
        _record(_ERRORS, f"({errors}) or 0 * ({total})", labels),
        _record(_EVENTS, total, labels),
        *(_ratio(window, events, labels) for window in DIRECT_WINDOWS),
    ]


def _ratio(window: str, events: Events, labels: dict[str, str]) -> Rule:
    expr = error_ratio(events.errors(window), events.total(window))
    return _record(f"slo:sli_error:ratio_rate{window}", expr, {**labels, "sloth_window": window})


def _summed(slo: Slo, labels: dict[str, str]) -> list[Rule]:
    del slo
    selector = _selector(labels)
    return [
        _record(
            f"slo:sli_error:ratio_rate{window}",
            error_ratio(
                f"sum_over_time({_ERRORS}{selector}[{window}])",
                f"sum_over_time({_EVENTS}{selector}[{window}])",
            ),
            {**labels, "sloth_window": window},
        )
        for window in SUMMED_WINDOWS
    ]


def _meta(file: SloFile, slo: Slo, labels: dict[str, str]) -> list[Rule]:
    selector, period = _selector(labels), f"{PERIOD_DAYS}d"
    budget = f"on(sloth_id) group_left slo:error_budget:ratio{selector}"
    spent = f"slo:period_burn_rate:ratio{selector}"
    info = {
        **labels,
        "sloth_mode": "storewatch",
        "sloth_objective": f"{slo.objective:g}",
        "sloth_spec": file.version,
    }
    return [
        _record("slo:objective:ratio", f"vector({1 - slo.error_budget_ratio:.12g})", labels),
        _record("slo:error_budget:ratio", f"vector({slo.error_budget_ratio:.12g})", labels),
        _record("slo:time_period:days", f"vector({PERIOD_DAYS})", labels),
        _record(
            "slo:current_burn_rate:ratio",
            f"slo:sli_error:ratio_rate{BASE_WINDOW}{selector} / {budget}",
            labels,
        ),
        _record(
            "slo:period_burn_rate:ratio",
            f"slo:sli_error:ratio_rate{period}{selector} / {budget}",
            labels,
        ),
        _record("slo:period_error_budget_remaining:ratio", f"1 - {spent}", labels),
        _record("sloth_slo_info", "vector(1)", info),
    ]


def _spec(slo: Slo, severity: Severity) -> Any:
    return slo.alerting.page_alert if severity is Severity.PAGE else slo.alerting.ticket_alert


def _alert(
    slo: Slo,
    labels: dict[str, str],
    severity: Severity,
    interval_s: float,
    events_min: int,
    runbook: str,
) -> Rule:
    alerting, spec = slo.alerting, _spec(slo, severity)
    pairs = [w for w in BURN_WINDOWS if w.severity is severity]
    expr = "\nor\n".join(_burns(slo, labels, pair, interval_s, events_min) for pair in pairs)
    own = {"severity": severity.value, "sloth_severity": severity.value}
    summary = f"The error budget of {slo.name} burns too fast ({slo.objective:g} % over 30 days)"
    return {
        "alert": alerting.name,
        "expr": expr,
        "labels": dict(sorted({**alerting.labels, **spec.labels, **own}.items())),
        "annotations": {
            "summary": summary,
            "description": slo.description,
            **alerting.annotations,
            **spec.annotations,
            "runbook": runbook.format(alert=alerting.name),
        },
    }


def _burns(
    slo: Slo, labels: dict[str, str], pair: BurnWindow, interval_s: float, events_min: int
) -> str:
    """Return the condition of one pair of windows.

    Besides both burn rates it asks that the short window was watched in full (before that both
    windows hold the same few minutes) and that the long one holds enough bad events.
    """
    selector, limit = _selector(labels), f"({pair.factor:g} * {slo.error_budget_ratio:.12g})"
    ratio = "max without (sloth_window) (slo:sli_error:ratio_rate{}{} > {})"
    if pair.long in DIRECT_WINDOWS:
        bad = f"({slo.sli.events.errors(pair.long)}) * {window_s(pair.long)}"
    else:
        bad = f"sum_over_time({_ERRORS}{selector}[{pair.long}]) * {interval_s:g}"
    return (
        f"({ratio.format(pair.short, selector, limit)}\n"
        f"  and {ratio.format(pair.long, selector, limit)}\n"
        f"  and on() ({_EVENTS}{selector} offset {pair.short} >= 0)\n"
        f"  and on() ({bad} >= {events_min}))"
    )
