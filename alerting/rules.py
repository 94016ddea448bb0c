"""All rules in one Prometheus file: service levels compiled, shipped alerts filled in."""

from collections.abc import Sequence
from typing import Any

import yaml

from alerting.anomaly.rules import signal_rules
from alerting.maintenance import maintenance_group
from alerting.prometheus import duration
from alerting.settings import AlertSettings
from alerting.shipped import Alert, load_alerts
from alerting.slo import Slo
from alerting.slo_alerts import burn_groups, missing_group, policy_group
from alerting.slo_files import Histograms, load_slos
from alerting.slo_rules import Recorded, recording_groups
from storewatch.core.errors import AlertError
from storewatch.schema import parse_duration

RUNBOOK = "runbooks/pages/{alert}.md"
_REHEARSALS = "freshness"


def compile_rules(
    settings: AlertSettings, *, rehearsed: bool = True, histograms: Histograms | None = None
) -> dict[str, Any]:
    """Return the rule file's content; equal settings give an equal file.

    Args:
        settings: of the package.
        rehearsed: whether backups and drills run here; if not, nobody is told that they are late.
        histograms: bucket bounds of histograms that are known.

    Raises:
        AlertError: an SLO file is wrong.
    """
    groups = [*maintenance_group(settings.maintenance), *_slo_groups(settings, histograms)]
    for name, alerts in load_alerts(settings.thresholds):
        if name == _REHEARSALS and not rehearsed:
            continue
        shipped = [_rule(alert, settings.prometheus.scrape_interval) for alert in alerts]
        groups.append({"name": f"storewatch-{name}", "rules": shipped})
    if signals := signal_rules(settings.anomaly, RUNBOOK):
        groups.append({"name": "storewatch-signals", "rules": signals})
    return {"groups": groups}


def service_levels(settings: AlertSettings, histograms: Histograms | None = None) -> list[Slo]:
    """Return the objectives that the settings name.

    Raises:
        AlertError: an SLO file is wrong.
    """
    return load_slos(
        settings.slos,
        period_days=_days(settings.slo_period),
        periods={name: _days(period) for name, period in settings.slo_periods.items()},
        histograms=histograms,
    )


def refuse_short_retention(settings: AlertSettings, slos: Sequence[Slo]) -> None:
    """Refuse a Prometheus that forgets what an error budget or a season is still counted from.

    Raises:
        AlertError: the line says for how long it must remember.
    """
    needs = [(slo.period_days, f"the period of the SLO {slo.id}") for slo in slos]
    if settings.anomaly.signals:
        needs.append((settings.anomaly.weeks * 7, "alerting.anomaly.weeks"))
    days, what = max(needs, default=(0, ""))
    if settings.prometheus.retention < days * 86400:
        raise AlertError(
            f"alerting.prometheus.retention: {duration(settings.prometheus.retention)} is shorter"
            f" than {what}; write {days}d or more"
        )


def _days(period: str) -> int:
    return int(period.removesuffix("d"))


def _slo_groups(settings: AlertSettings, histograms: Histograms | None) -> list[dict[str, Any]]:
    events_min, groups = settings.thresholds.burn_events_min, []
    every_s = max(settings.slo_interval, settings.prometheus.evaluation_interval)
    slos = [_recorded(slo, settings, every_s) for slo in service_levels(settings, histograms)]
    for slo in slos:
        groups += [*recording_groups(slo), *burn_groups(slo, events_min, RUNBOOK)]
    groups += missing_group(slos, events_min, RUNBOOK, every_s)
    groups += policy_group(settings.error_budget_policy, events_min, RUNBOOK, every_s)
    return [group for group in groups if group["rules"]]


def _recorded(slo: Slo, settings: AlertSettings, every_s: float) -> Recorded:
    names = tuple(
        window.name
        for window in settings.maintenance
        if window.budget and window.concerns(slo.record_labels)
    )
    return Recorded(slo, settings.prometheus.evaluation_interval, every_s, names)


def render_rules(
    settings: AlertSettings, *, rehearsed: bool = True, histograms: Histograms | None = None
) -> str:
    """Return the rule file as YAML.

    Raises:
        AlertError: an SLO file is wrong.
    """
    return yaml.safe_dump(
        compile_rules(settings, rehearsed=rehearsed, histograms=histograms),
        sort_keys=False,
        width=1000,
        allow_unicode=True,
    )


def alert_names(settings: AlertSettings) -> list[str]:
    """Return the name of every alert, sorted."""
    rules = [rule for group in compile_rules(settings)["groups"] for rule in group["rules"]]
    return sorted({rule["alert"] for rule in rules if "alert" in rule})


def _rule(alert: Alert, scrape_s: float) -> dict[str, Any]:
    """Return a shipped alert as a rule; what must hold for a while is seen by two scrapes."""
    hold = alert.hold
    if hold != "0s" and parse_duration(hold) < scrape_s:
        hold = duration(scrape_s)
    rule: dict[str, Any] = {"alert": alert.alert, "expr": alert.expr.strip(), "for": hold}
    if alert.keep_firing_for:
        rule["keep_firing_for"] = alert.keep_firing_for
    rule["labels"] = {
        **alert.labels,
        "severity": alert.severity.value if alert.severity else "none",
    }
    rule["annotations"] = {
        "summary": alert.summary,
        "runbook": RUNBOOK.format(alert=alert.alert),
    }
    return rule
