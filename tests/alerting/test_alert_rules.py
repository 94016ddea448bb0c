import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.rules import alert_names, compile_rules, render_rules
from alerting.settings import AlertSettings

HERE = Path(__file__).parent
PAGES = Path(__file__).parents[2] / "runbooks" / "pages"
ALERTS = alert_names(AlertSettings())
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
    labels = {"severity": severity_of(alert), **case["labels"]}
    return [{"exp_labels": labels, "exp_annotations": annotations}]


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


def unit_tests(found: dict[str, Any]) -> list[dict[str, Any]]:
    tests = []
    told = expected_burns if set(found) & set(BURNS) else expected
    for alert, kinds in found.items():
        for kind in ("fires", "quiet"):
            for case in kinds[kind]:
                test = {
                    "name": f"{alert} {kind}: {case.get('name', 'plainly')}",
                    "interval": case.get("every", "5s"),
                    "input_series": [
                        {"series": series, "values": values}
                        for series, values in case["series"].items()
                    ],
                    "alert_rule_test": [
                        {
                            "alertname": alert,
                            "eval_time": case["at"],
                            "exp_alerts": told(alert, case) if kind == "fires" else [],
                        }
                    ],
                }
                tests.append(test)
    return tests


def concerns(group: dict[str, Any], alerts: set[str]) -> bool:
    """Whether the group holds one of the alerts, or what error budgets are computed from."""
    slos = {alert.removesuffix("BudgetBurn").lower() for alert in alerts}
    return bool({rule.get("alert") for rule in group["rules"]} & alerts) or (
        group["name"].rpartition("-")[2] in slos
    )


def run_cases(
    promtool: Path, folder: Path, found: dict[str, Any], interval: str
) -> subprocess.CompletedProcess[str]:
    prometheus = {"evaluation_interval": interval}
    settings = AlertSettings.model_validate({"prometheus": prometheus})
    groups = [g for g in compile_rules(settings)["groups"] if concerns(g, set(found))]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}, sort_keys=False))
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": interval,
        "tests": unit_tests(found),
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return subprocess.run(
        [str(promtool), "test", "rules", "tests.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def long(case: dict[str, Any]) -> bool:
    return "every" in case


def test_promtool_accepts_the_compiled_rules(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(render_rules(AlertSettings()))
    result = subprocess.run(
        [str(promtool), "check", "rules", "--lint-fatal", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_fire_when_they_should_and_only_then(promtool: Path, tmp_path: Path) -> None:
    short = {
        alert: {kind: [c for c in kinds[kind] if not long(c)] for kind in ("fires", "quiet")}
        for alert, kinds in cases("cases.yaml").items()
    }
    result = run_cases(promtool, tmp_path, short, "5s")
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_on_ages_of_hours_fire_when_they_should_and_only_then(
    promtool: Path, tmp_path: Path
) -> None:
    aged = {
        alert: {kind: [c for c in kinds[kind] if long(c)] for kind in ("fires", "quiet")}
        for alert, kinds in cases("cases.yaml").items()
        if any(long(case) for case in kinds["fires"])
    }
    result = run_cases(promtool, tmp_path, aged, "5m")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", BURNS)
def test_error_budget_alerts_fire_when_they_should_and_only_then(
    promtool: Path, tmp_path: Path, alert: str
) -> None:
    result = run_cases(promtool, tmp_path, {alert: BURNS[alert]}, "1m")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_fires_and_one_that_must_not(alert: str) -> None:
    assert EVERY_CASE[alert]["fires"], "no case fires"
    assert EVERY_CASE[alert]["quiet"] or alert == "Watchdog", "no case is quiet"


def test_every_case_is_about_an_alert() -> None:
    assert set(EVERY_CASE) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_names_its_page_and_the_page_exists(alert: str) -> None:
    pages = {rule["annotations"]["runbook"] for rule in RULES if rule["alert"] == alert}
    assert pages == {f"runbooks/pages/{alert}.md"}
    assert (PAGES / f"{alert}.md").exists()


def test_every_page_is_about_an_alert() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_who_is_disturbed_and_in_one_line_what_is_wrong(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert "\n" not in rule["annotations"]["summary"]


def test_only_what_customers_feel_pages_and_a_watcher_that_is_blind() -> None:
    pages = {rule["alert"] for rule in RULES if rule["labels"]["severity"] == "page"}
    assert pages == {
        "AvailabilityBudgetBurn",
        "BrowseFailing",
        "CheckoutBudgetBurn",
        "CheckoutFailing",
        "ExporterDown",
        "LatencyBudgetBurn",
        "PaymentsFailing",
        "ShopInvariantBroken",
        "ShopUnreachable",
    }


def test_equal_settings_give_an_equal_file() -> None:
    assert render_rules(AlertSettings()) == render_rules(AlertSettings())


def test_thresholds_come_from_the_settings() -> None:
    thresholds = {"replica_lag_max": "77s", "backup_max_age": "35d", "checkout_journey": "buy"}
    text = render_rules(AlertSettings.model_validate({"thresholds": thresholds}))
    assert "pg_replication_lag_seconds) > 77" in text
    assert "for: 3024000s" in text
    assert 'storewatch_journey_success{journey="buy"}' in text
    assert "${" not in text


def test_rates_span_at_least_four_scrapes() -> None:
    windows = re.findall(r"(?:rate|increase)\([^\[]*\[(\d+)([sm])\]", render_rules(AlertSettings()))
    assert windows
    assert all(int(n) * {"s": 1, "m": 60}[unit] >= 20 for n, unit in windows)
