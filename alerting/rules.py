"""All rules in one Prometheus file: service levels compiled, shipped alerts filled in."""

from typing import Any

import yaml

from alerting.settings import AlertSettings
from alerting.shipped import Alert, load_alerts
from alerting.slo import load_slos
from alerting.slo_rules import slo_groups

RUNBOOK = "runbooks/pages/{alert}.md"


def compile_rules(settings: AlertSettings) -> dict[str, Any]:
    """Return the rule file's content; equal settings give an equal file.

    Raises:
        AlertError: an SLO file is wrong.
    """
    groups: list[dict[str, Any]] = []
    for file in load_slos(settings.slos):
        groups += slo_groups(
            file,
            interval_s=settings.prometheus.evaluation_interval,
            events_min=settings.thresholds.burn_events_min,
            runbook=RUNBOOK,
        )
    for name, alerts in load_alerts(settings.thresholds):
        groups.append({"name": f"storewatch-{name}", "rules": [_rule(a) for a in alerts]})
    return {"groups": groups}


def render_rules(settings: AlertSettings) -> str:
    """Return the rule file as YAML.

    Raises:
        AlertError: an SLO file is wrong.
    """
    return yaml.safe_dump(compile_rules(settings), sort_keys=False, width=1000, allow_unicode=True)


def alert_names(settings: AlertSettings) -> list[str]:
    """Return the name of every alert, sorted."""
    rules = [rule for group in compile_rules(settings)["groups"] for rule in group["rules"]]
    return sorted({rule["alert"] for rule in rules if "alert" in rule})


def _rule(alert: Alert) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.alert, "expr": alert.expr.strip(), "for": alert.hold}
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
