"""Every rule has a case in which it fires and one in which it must not."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from alert_cases import BURNS, EVERY_CASE, RULES, expected, expected_burns

from alerting.routes import GROUP_BY
from alerting.rules import alert_names
from alerting.settings import AlertSettings

ALERTS = alert_names(AlertSettings())


def told_by(alert: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the rule whose alert has these labels: of those that fit, the one that sets most."""
    rules = [
        rule
        for rule in RULES
        if rule["alert"] == alert and rule["labels"].items() <= labels.items()
    ]
    return max(rules, key=lambda rule: len(rule["labels"]))


def has_a_case_that_fires(rule: dict[str, Any]) -> bool:
    alert = rule["alert"]
    told = expected_burns if alert in BURNS else expected
    return any(
        told_by(alert, one["exp_labels"]) is rule
        for case in EVERY_CASE[alert]["fires"]
        for one in told(alert, case)
    )


def asks_for(rule: dict[str, Any], series: str) -> bool:
    """Tell whether a rule looks at a series: by its name and the labels asked for with `=`."""
    name = series.partition("{")[0]
    labels = set(re.findall(r'(\w+)="([^"]*)"', series))
    asked = re.findall(rf"(?<![\w:]){name}(?![\w:])(\{{[^}}]*\}})?", rule["expr"])
    return any(set(re.findall(r'(\w+)="([^"]*)"', one)) <= labels for one in asked)


def has_a_case_that_must_not(rule: dict[str, Any]) -> bool:
    """Tell whether a quiet case gives the rule something to look at.

    An error budget's rules see what a case holds through records only.
    """
    alert = rule["alert"]
    return any(
        alert in BURNS or any(asks_for(rule, series) for series in case["series"])
        for case in EVERY_CASE[alert]["quiet"]
    )


@pytest.mark.parametrize("alert", EVERY_CASE)
def test_labels_that_tell_instances_apart_are_what_messages_are_grouped_by(alert: str) -> None:
    told = expected_burns if alert in BURNS else expected
    labels = {
        name
        for case in EVERY_CASE[alert]["fires"]
        for one in told(alert, case)
        for name in one["exp_labels"]
    }
    # Our exporter has one job; an objective's other labels say nothing that its id does not.
    assert labels - {"job", "sloth_service", "sloth_slo", "sloth_severity"} <= set(GROUP_BY)


def rule_id(rule: dict[str, Any]) -> str:
    return f"{rule['alert']} {' '.join(rule['labels'].values())}"


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_every_rule_has_a_case_that_fires_and_one_that_must_not(rule: dict[str, Any]) -> None:
    assert has_a_case_that_fires(rule), "no case fires"
    assert has_a_case_that_must_not(rule) or rule["alert"] == "Watchdog", "no case is quiet"


def test_rules_of_one_alert_are_told_apart_by_their_labels() -> None:
    found = Counter(rule_id(rule) for rule in RULES)
    assert [name for name, count in found.items() if count > 1] == []


def test_a_rule_without_a_case_of_its_own_is_noticed() -> None:
    missing = next(rule for rule in RULES if rule["labels"].get("sign") == "part")
    other = {**missing, "labels": {**missing["labels"], "sign": "new"}, "expr": "pg_new == 1"}
    assert has_a_case_that_fires(missing)
    assert not has_a_case_that_fires(other)
    assert not has_a_case_that_must_not(other)


def test_every_case_is_about_an_alert() -> None:
    assert set(EVERY_CASE) == set(ALERTS)
