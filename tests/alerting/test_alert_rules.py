"""The compiled rules: when they fire, what they say, and what settings make of them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import BURNS, RULES, cases, expected, expected_burns

from alerting.rules import alert_names, compile_rules, render_rules
from alerting.settings import AlertSettings
from alerting.slo import DEFAULT_ALERT

PAGES = Path(__file__).parents[2] / "runbooks" / "pages"
ALERTS = alert_names(AlertSettings())
CASES = cases("cases.yaml")


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
    every = {"prometheus": {"evaluation_interval": interval}, "slo_interval": "1m"}
    settings = AlertSettings.model_validate(every)
    groups = [g for g in compile_rules(settings)["groups"] if concerns(g, set(found))]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}, sort_keys=False))
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": interval,
        "group_eval_order": [group["name"] for group in groups],
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


@pytest.mark.parametrize("alert", CASES)
def test_alerts_fire_when_they_should_and_only_then(
    promtool: Path, tmp_path: Path, alert: str
) -> None:
    for interval, aged in (("5s", False), ("5m", True)):
        kinds = {
            kind: [case for case in CASES[alert][kind] if ("every" in case) == aged]
            for kind in ("fires", "quiet")
        }
        result = run_cases(promtool, tmp_path, {alert: kinds}, interval)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", BURNS)
def test_error_budget_alerts_fire_when_they_should_and_only_then(
    promtool: Path, tmp_path: Path, alert: str
) -> None:
    result = run_cases(promtool, tmp_path, {alert: BURNS[alert]}, "1m")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_names_its_page_and_the_page_exists(alert: str) -> None:
    pages = {rule["annotations"]["runbook"] for rule in RULES if rule["alert"] == alert}
    assert pages == {f"runbooks/pages/{alert}.md"}
    assert (PAGES / f"{alert}.md").exists()


def test_every_page_is_about_an_alert() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*ALERTS, DEFAULT_ALERT}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_who_is_disturbed_and_in_one_line_what_is_wrong(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert "\n" not in rule["annotations"]["summary"]


def test_what_customers_feel_or_will_in_hours_pages_and_a_watcher_that_is_blind() -> None:
    pages = {rule["alert"] for rule in RULES if rule["labels"]["severity"] == "page"}
    assert pages == {
        "AvailabilityBudgetBurn",
        "BrowseFailing",
        "CheckoutBudgetBurn",
        "CheckoutFailing",
        "DiskFilling",
        "ExporterDown",
        "LatencyBudgetBurn",
        "PaymentsFailing",
        "ShopInvariantBroken",
        "ShopUnreachable",
        "SignalDropped",
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


def test_windows_hold_at_least_four_scrapes_however_rarely_it_is_scraped() -> None:
    slowest = AlertSettings.model_validate({"prometheus": {"scrape_interval": "15s"}})
    windows = re.findall(r"\([^\[]*\[(\d+)([smhdw])\]", render_rules(slowest))
    assert windows
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    assert min(int(n) * units[unit] for n, unit in windows) >= 4 * 15
    with pytest.raises(ValueError, match="less than or equal to 15"):
        AlertSettings.model_validate({"prometheus": {"scrape_interval": "16s"}})


def test_one_failed_scrape_is_nobodys_alarm_however_rarely_it_is_scraped() -> None:
    def holds(scrape: str) -> dict[str, str]:
        settings = AlertSettings.model_validate({"prometheus": {"scrape_interval": scrape}})
        rules = [rule for group in compile_rules(settings)["groups"] for rule in group["rules"]]
        return {rule["alert"]: rule["for"] for rule in rules if "for" in rule}

    often, rarely = holds("5s"), holds("15s")
    assert (often["InstanceDown"], rarely["InstanceDown"]) == ("5s", "15s")
    assert (often["JourneyStale"], rarely["JourneyStale"]) == ("10s", "15s")
    same = {name for name, hold in rarely.items() if hold == often[name]}
    assert {"CheckoutFailing", "ExporterDown", "BackupTooOld"} <= same


def test_nobody_is_told_that_backups_are_late_where_none_are_made() -> None:
    names = {
        rule.get("alert")
        for group in compile_rules(AlertSettings(), rehearsed=False)["groups"]
        for rule in group["rules"]
    }
    assert {"CheckoutFailing", "Watchdog"} <= names
    assert not names & {"BackupFailed", "BackupTooOld", "DrillFailed", "DrillTooOld"}
