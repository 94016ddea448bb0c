"""Alerts on signals that slow down, stop or disappear. The exporter publishes their bounds."""

from typing import Any

from alerting.anomaly.bounds import WINDOWS
from alerting.anomaly.settings import AnomalySettings, SignalSettings
from alerting.windows import Severity

Rule = dict[str, Any]

ALERT = "SignalDropped"
BOUND = "storewatch_signal_lower_bound"
EXPECTED = "storewatch_signal_expected_per_minute"
UP = "storewatch_signals_up"
FITTED = "storewatch_signal_fitted_timestamp_seconds"

_REFITS = 3
"""So many runs of the job may be missed before somebody is told."""


def signal_rules(settings: AnomalySettings, runbook: str) -> list[Rule]:
    """Return the rules of all signals.

    A signal is absent when something is expected of it and its counter is not there; a shop whose
    history does not suffice, and one that was just installed, expects nothing.

    Args:
        settings: the signals, and how often their seasons are learnt.
        runbook: path of an alert's page, with {alert} in it.
    """
    rules: list[Rule] = []
    for signal in settings.signals:
        rules += [_dropped(signal), _absent(signal)]
    if settings.signals:
        rules += _outdated(settings.refit)
    for rule in rules:
        rule["annotations"]["runbook"] = runbook.format(alert=rule["alert"])
    return rules


def _dropped(signal: SignalSettings) -> Rule:
    looks = [_look(signal, window.minutes) for window in WINDOWS]
    return _alert(
        signal,
        "dropped",
        "max by (signal) (\n  " + "\n  or\n  ".join(looks) + "\n)",
        hold="0s",
        summary=f"Far fewer {_words(signal)} than at this hour of other weeks",
    )


def _look(signal: SignalSettings, minutes: int) -> str:
    """Return the condition of one window, which counts only when both its ends were measured.

    Prometheus extrapolates over half a scrape at most: with a gap at one end a window holds too
    little. A gap between its ends takes nothing from a counter.
    """
    return (
        f'{BOUND}{{signal="{signal.name}",window="{minutes}m"}}'
        f" > on() sum(increase({signal.counter}[{minutes}m]))"
        f" and on() count(count_over_time({signal.counter}[1m] offset {minutes - 1}m))"
        f" and on() count(count_over_time({signal.counter}[1m]))"
    )


def _absent(signal: SignalSettings) -> Rule:
    expected = f'max by (signal) ({EXPECTED}{{signal="{signal.name}"}} > 0)'
    return _alert(
        signal,
        "absent",
        f"{expected} unless on() count({signal.counter})",
        hold="1m",
        summary=f"The count of {_words(signal)} is gone, and {{{{ $value | humanize }}}} a minute"
        " are expected",
    )


def _alert(signal: SignalSettings, sign: str, expr: str, *, hold: str, summary: str) -> Rule:
    return {
        "alert": ALERT,
        "expr": expr,
        "for": hold,
        "keep_firing_for": "10m",
        "labels": {"severity": signal.severity.value, "sign": sign, "signal": signal.name},
        "annotations": {"summary": summary},
    }


def _outdated(refit_s: float) -> list[Rule]:
    missed_s = _REFITS * refit_s
    known = "What signals should bring was learnt {{ $value | humanizeDuration }} ago"
    never = f"max({UP} == 1) unless on() count({FITTED})"
    return [
        _season(f"time() - max({FITTED}) > {missed_s:.12g}", "1m", known),
        _season(never, f"{missed_s:.0f}s", "Nobody has learnt what signals should bring", "never"),
    ]


def _season(expr: str, hold: str, summary: str, sign: str = "") -> Rule:
    return {
        "alert": "SeasonTooOld",
        "expr": expr,
        "for": hold,
        "labels": {"severity": Severity.TICKET.value, **({"sign": sign} if sign else {})},
        "annotations": {"summary": summary},
    }


def _words(signal: SignalSettings) -> str:
    return signal.name.replace("_", " ")
