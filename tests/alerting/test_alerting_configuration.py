"""`check` and `render` over a section `alerting`."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerting_section import SLACK, Command, slo_file


@pytest.mark.parametrize(
    ("alerting", "said"),
    [
        ({"slos": ["none.yaml"]}, "none.yaml: cannot be read"),
        (
            {"receivers": {"team": {"slack_configs": [{"chanel": "#shop"}]}}},
            "refused by amtool: yaml: unmarshal errors: line",
        ),
        (
            {"receivers": {"team": {"email_configs": [{"to": "a@shop.example"}]}}},
            "the routes are refused by amtool: no global SMTP smarthost set",
        ),
        ({"routes": [{"receivers": ["team"]}]}, "routes: no receiver 'team' in receivers"),
        ({"maintenance": [{"name": "a", "times": ["2-4"]}]}, "maintenance[0].times[0]: '2-4'"),
        (
            {"receivers": {"team": {"fax_configs": [{}]}}},
            "receivers.team: unknown key 'fax_co",
        ),
        ({"slo_interval": "5m"}, "alerting.slo_interval: '5m'"),
        (
            {"prometheus": {"retention": "15d"}, "slo_period": "28d", "anomaly": {"signals": []}},
            "alerting.prometheus.retention: 15d is shorter than the period of the SLO"
            " shop-latency; write 28d or more",
        ),
        (
            {"anomaly": {"weeks": 8}},
            "alerting.prometheus.retention: 35d is shorter than alerting.anomaly.weeks;"
            " write 56d or more",
        ),
        ({"slo_periods": {"shop-x": "7d"}}, "alerting.slo_periods.shop-x: no SLO of this id"),
    ],
)
def test_check_names_what_is_wrong_in_one_line(
    storewatch: Command, alerting: dict[str, Any], said: str
) -> None:
    answer = storewatch(alerting, "check")
    assert answer.returncode == 2
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_check_hands_the_rules_to_promtool(storewatch: Command, tmp_path: Path) -> None:
    slos = [slo_file(tmp_path, error_query="sum(rate(pages_total[{{.window}}])")]
    answer = storewatch({"slos": slos}, "check")
    assert answer.returncode == 2
    assert "the rules are refused by promtool: " in answer.stderr
    assert "could not parse expression" in answer.stderr


def test_how_long_a_prometheus_of_ones_own_remembers_is_its_own_business(
    storewatch: Command,
) -> None:
    answer = storewatch({"prometheus": {"retention": "1d"}}, "check", run=["exporter", "desk"])
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("rule_files", None, "alerting.prometheus.rule_files: no file {file}; write a path or"),
        ("scrape_config_files", None, "alerting.prometheus.scrape_config_files: no file {file};"),
        (
            "rule_files",
            "groups: [{name: a, rules: [{alert: A, expr: 'sum('}]}]",
            "{file}: these rules are refused by promtool: {file}:",
        ),
        (
            "scrape_config_files",
            "scrape_configs: [{job_name: a, scrape_timeout: 9s}]",
            "{file}: these scrape jobs are refused by promtool: parsing YAML file",
        ),
        (
            "scrape_config_files",
            "scrape_configs: [{job_name: a, authorization: {credentials_file: gone}}]",
            "{file}: these scrape jobs are refused by promtool: error checking",
        ),
    ],
)
def test_check_judges_own_rules_and_jobs_and_names_their_file(
    storewatch: Command, tmp_path: Path, key: str, content: str | None, said: str
) -> None:
    (tmp_path / "good.yml").write_text(
        "groups: []" if key == "rule_files" else "scrape_configs: []"
    )
    file = tmp_path / "own.yml"
    if content is not None:
        file.write_text(content)
    answer = storewatch({"prometheus": {key: ["good.yml", "own.yml"]}}, "check")
    assert answer.returncode == 2
    assert f"storewatch: {said.format(file=file)}" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_own_rules_and_jobs_are_rendered_beside_ours_without_their_secrets(
    storewatch: Command, tmp_path: Path
) -> None:
    (tmp_path / "r.yml").write_text("groups: [{name: a, rules: [{alert: A, expr: up == 2}]}]")
    job = "{job_name: a, authorization: {credentials: s3cret}, static_configs: []}"
    (tmp_path / "j.yml").write_text(f"scrape_configs: [{job}]")
    alerting = {"prometheus": {"rule_files": ["*r.yml"], "scrape_config_files": ["j.yml"]}}
    assert storewatch(alerting, "check").returncode == 0
    shown = storewatch(alerting, "render", "prometheus").stdout
    rendered = yaml.safe_load(shown)
    assert [job["job_name"] for job in rendered["scrape_configs"]] == [
        "storewatch",
        "prometheus",
        "alertmanager",
        "a",
    ]
    assert [Path(name).name for name in rendered["rule_files"]] == ["rules.yml", "r.yml"]
    assert "s3cret" not in shown
    assert "s3cret" in storewatch(alerting, "render", "prometheus", "--secrets").stdout


def test_a_threshold_between_two_buckets_of_ours_is_refused(
    storewatch: Command, tmp_path: Path
) -> None:
    took = "storewatch_edge_request_duration_seconds"
    total = f"sum(rate({took}_count[{{{{.window}}}}]))"
    slow = f'{total} - sum(rate({took}_bucket{{le="0.25"}}[{{{{.window}}}}]))'
    slos = [slo_file(tmp_path, error_query=slow, total_query=total)]
    answer = storewatch({"slos": slos}, "check")
    assert answer.returncode == 2
    assert "has no bucket at 0.25; write one of its bounds: 0.005" in answer.stderr


def test_secrets_of_receivers_are_in_one_file_that_others_cannot_read(
    storewatch: Command, tmp_path: Path
) -> None:
    alerting = {"receivers": {"team": SLACK}}
    shown = storewatch(alerting, "render", "alertmanager").stdout
    assert "<secret>" in shown
    assert "s3cret" not in shown
    assert "s3cret" in storewatch(alerting, "render", "alertmanager", "--secrets").stdout
    code = "from storewatch.config import load_config; from storewatch.wiring import Parts;"
    code += "from pathlib import Path; Parts(load_config(Path('storewatch.yaml'))).render()"
    home = {"STOREWATCH_HOME": str(tmp_path / "home"), "SLACK_URL": "https://slack.test/s3cret"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **home}, check=True
    )
    holding = [
        path
        for path in (tmp_path / "home").rglob("*")
        if path.is_file() and "s3cret" in path.read_text()
    ]
    assert [path.name for path in holding] == ["alertmanager.yml"]
    assert holding[0].stat().st_mode & 0o777 == 0o600
