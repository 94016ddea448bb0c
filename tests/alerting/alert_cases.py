"""The alerts that are compiled, their cases, and what a case expects to be told."""

from pathlib import Path
from typing import Any

import yaml

from alerting.rules import compile_rules
from alerting.settings import AlertSettings

HERE = Path(__file__).parent
RULES = [
    rule
    for group in compile_rules(AlertSettings())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def cases(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((HERE / name).read_text())
    return found


BURNS = cases("slo_cases.yaml")
EVERY_CASE = {**cases("cases.yaml"), **BURNS}


def severity_of(alert: str) -> str:
    return next(str(r["labels"]["severity"]) for r in RULES if r["alert"] == alert)


def expected(alert: str, case: dict[str, Any]) -> list[dict[str, Any]]:
    annotations = {"summary": case["summary"], "runbook": f"runbooks/pages/{alert}.md"}
    return [
        {"exp_labels": {"severity": severity, **case["labels"]}, "exp_annotations": annotations}
        for severity in case.get("severities", [severity_of(alert)])
    ]


def expected_burns(alert: str, case: dict[str, Any]) -> list[dict[str, Any]]:
    rule = next(rule for rule in RULES if rule["alert"] == alert)
    slo = case["slo"]
    labels = {"sloth_id": f"shop-{slo}", "sloth_service": "shop", "sloth_slo": slo}
    return [
        {
            "exp_labels": {**labels, "severity": severity, "sloth_severity": severity},
            "exp_annotations": rule["annotations"],
        }
        for severity in case["severities"]
    ]
