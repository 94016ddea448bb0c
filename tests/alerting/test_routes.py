import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from alerting.inhibitions import INHIBITIONS
from alerting.prometheus import duration, prometheus_argv, render_prometheus
from alerting.routes import (
    GROUP_BY,
    alertmanager_argv,
    alertmanager_config,
    render_alertmanager,
)
from alerting.rules import compile_rules, render_rules
from alerting.settings import AlertSettings

RULES = [
    rule
    for group in compile_rules(AlertSettings())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def run(*argv: str) -> str:
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Alertmanager's configuration."""
    token = tmp_path / "token"
    token.write_text("s3cret")
    path = tmp_path / "alertmanager.yml"
    path.write_text(render_alertmanager(AlertSettings(), token))
    return path


def test_alertmanager_accepts_its_configuration(amtool: Path, config: Path) -> None:
    assert "SUCCESS" in run(str(amtool), "check-config", str(config))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=CheckoutFailing", "severity=page"), "desk-page"),
        (("alertname=InstanceDown", "severity=ticket"), "desk-ticket"),
        (("alertname=SomebodysOwn",), "desk-ticket"),
        (("alertname=Watchdog", "severity=none"), "heartbeat"),
    ],
)
def test_alerts_go_where_they_belong(
    amtool: Path, config: Path, labels: tuple[str, ...], receiver: str
) -> None:
    out = run(str(amtool), "config", "routes", "test", f"--config.file={config}", *labels)
    assert out.strip() == receiver


def test_the_configuration_holds_no_secret(config: Path) -> None:
    assert "s3cret" not in config.read_text()


def test_the_watchdogs_pulse_goes_outside_when_there_is_an_outside(tmp_path: Path) -> None:
    alertmanager = {"heartbeat_url": "https://heartbeat.test/1"}
    settings = AlertSettings.model_validate({"alertmanager": alertmanager})
    receivers = alertmanager_config(settings, tmp_path)["receivers"]
    (heartbeat,) = [r for r in receivers if r["name"] == "heartbeat"]
    assert heartbeat["webhook_configs"][0]["url"] == "https://heartbeat.test/1"


@pytest.mark.parametrize(("cause", "consequences", "_equal"), INHIBITIONS)
def test_only_tickets_are_ever_silenced(
    cause: str, consequences: tuple[str, ...], _equal: tuple[str, ...]
) -> None:
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in RULES}
    assert cause in severities
    assert {severities[name] for name in consequences} == {"ticket"}


def test_labels_that_tell_alerts_apart_are_what_incidents_are_grouped_by() -> None:
    own = {name for rule in RULES for name in rule["labels"]} - {"sloth_severity"}
    assert own <= set(GROUP_BY)


def test_prometheus_accepts_its_configuration(promtool: Path, tmp_path: Path) -> None:
    settings = AlertSettings()
    rules = tmp_path / "rules.yml"
    rules.write_text(render_rules(settings))
    config = tmp_path / "prometheus.yml"
    config.write_text(render_prometheus(settings, rules, ("127.0.0.1", 18620)))
    out = run(str(promtool), "check", "config", str(config))
    assert "is valid prometheus config" in out
    scraped = yaml.safe_load(config.read_text())["scrape_configs"]
    assert [job["job_name"] for job in scraped] == ["storewatch", "prometheus", "alertmanager"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (0.25, "250ms"),
        (1.5, "1s500ms"),
        (5400, "1h30m"),
        (14400, "4h"),
        (35 * 86400, "35d"),
        (0, "0s"),
    ],
)
def test_durations_are_written_as_prometheus_reads_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_command_lines_listen_where_the_settings_say_and_nowhere_else(tmp_path: Path) -> None:
    settings = AlertSettings()
    program = tmp_path / "bin" / "prometheus"
    argv = prometheus_argv(settings, program, tmp_path / "c", tmp_path / "d")
    assert "--web.listen-address=127.0.0.1:18090" in argv
    argv = alertmanager_argv(settings.alertmanager, program, tmp_path / "c", tmp_path / "d")
    assert "--web.listen-address=127.0.0.1:18093" in argv
    assert "--cluster.listen-address=" in argv


@pytest.mark.parametrize(
    ("section", "form"),
    [
        ({"alertmanager": {"desk_url": "127.0.0.1:1"}}, "write http://host:port/path"),
        ({"prometheus": {"listen": "18090"}}, "write host:port, such as 127.0.0.1:9090"),
        ({"thresholds": {"payment_failure_ratio_max": 2}}, "less than 1"),
        ({"thresholds": {"backup_max_age": 26}}, "such as 250ms, 5s, 1h30m"),
        ({"thresholds": {"checkout_journey": 'a"b'}}, "match pattern"),
        ({"sirens": []}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_the_valid_form(
    section: dict[str, object], form: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        AlertSettings.model_validate(section)
    assert form in caught.value.errors()[0]["msg"]
