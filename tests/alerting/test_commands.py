"""`slo`, `alert`, `check` and `render` as somebody types them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import free_port, running, serving

from alerting.routes import alertmanager_argv
from alerting.settings import AlertmanagerSettings
from storewatch.tools import find_program

Command = Callable[..., subprocess.CompletedProcess[str]]
SLACK = {"slack_configs": [{"api_url": "${SLACK_URL}", "channel": "#shop"}]}
SLO: dict[str, Any] = {
    "version": "prometheus/v1",
    "service": "shop",
    "slos": [
        {
            "name": "pages",
            "objective": 99,
            "sli": {
                "events": {
                    "error_query": 'sum(rate(pages_total{code="500"}[{{.window}}]))',
                    "total_query": "sum(rate(pages_total[{{.window}}]))",
                }
            },
        }
    ],
}


@pytest.fixture
def storewatch(tmp_path: Path) -> Command:
    """Run a command over a configuration whose section `alerting` is given."""

    def run(
        alerting: dict[str, Any],
        *words: str,
        chat: str = "https://slack.test/s3cret",
        **other: Any,
    ) -> subprocess.CompletedProcess[str]:
        token = "0123456789abcdef"
        ports = {"prometheus": {"listen": f"127.0.0.1:{free_port()}"}}
        content = {
            "name": "test",
            "console": {"token": token},
            "monitors": {},
            "alerting": {**ports, **alerting},
            "loadtests": {"base_url": "http://127.0.0.1:9", "journeys": {}},
            **other,
        }
        (tmp_path / "storewatch.yaml").write_text(yaml.safe_dump(content))
        home = {"STOREWATCH_HOME": str(tmp_path / "home"), "SLACK_URL": chat}
        return subprocess.run(
            [sys.executable, "-m", "storewatch.cli.main", *words],
            cwd=tmp_path,
            env={**os.environ, **home},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def slo_file(folder: Path, **events: str) -> str:
    spec = json.loads(json.dumps(SLO))
    spec["slos"][0]["sli"]["events"] |= events
    (folder / "slo.yaml").write_text(yaml.safe_dump(spec))
    return "slo.yaml"


def test_objectives_are_listed_without_a_prometheus(storewatch: Command, tmp_path: Path) -> None:
    alerting = {"slos": [slo_file(tmp_path)], "slo_periods": {"shop-pages": "7d"}}
    listed = storewatch(alerting, "slo", "list", "--json")
    (one,) = json.loads(listed.stdout)
    assert (one["id"], one["objective"], one["period_days"]) == ("shop-pages", 99, 7)
    assert "shop-pages" in storewatch(alerting, "slo", "list").stdout


def test_a_prometheus_that_is_gone_ends_the_status_with_4(storewatch: Command) -> None:
    answer = storewatch({}, "slo", "status")
    assert answer.returncode == 4
    assert len(answer.stderr.splitlines()) == 1


def test_the_status_of_an_objective_that_does_not_exist_is_a_mistake(storewatch: Command) -> None:
    answer = storewatch({}, "slo", "status", "shop-other")
    assert answer.returncode == 2
    assert "no SLO 'shop-other'; there are: shop-availability" in answer.stderr


def test_the_gate_ends_by_the_worst_budget(storewatch: Command, tmp_path: Path) -> None:
    def answer(remaining: str) -> dict[str, str]:
        names = {"slo:period_error_budget_remaining:ratio": remaining}
        names["slo:period_bad_events:count"] = "100"
        result = [
            {"metric": {"__name__": name, "sloth_id": "shop-pages"}, "value": [0, value]}
            for name, value in names.items()
            if value
        ]
        return {"data": json.dumps({"data": {"result": result}})}

    for remaining, code, state in (
        ("0.9", 0, "ok"),
        ("0.4", 0, "50 % spent"),
        ("-0.1", 1, "frozen"),
        ("", 3, "no data"),
    ):
        page = answer(remaining)["data"]
        with serving({"/api/v1/query": page}) as prometheus:
            listen = prometheus.url.removeprefix("http://")
            alerting = {"slos": [slo_file(tmp_path)], "prometheus": {"listen": listen}}
            told = storewatch(alerting, "slo", "status", "--json")
            assert told.returncode == code, told.stderr
            assert json.loads(told.stdout)["slos"][0]["state"] == state


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


def test_a_history_that_cannot_be_read_is_a_mistake_and_no_missed_fault(
    storewatch: Command, tmp_path: Path
) -> None:
    (tmp_path / "orders.csv").write_text("time,count\n2026-11-01T00:00:00Z,4\nyesterday,4\n")
    for file, said in (
        ("none.csv", "none.csv: cannot be read"),
        ("orders.csv", "orders.csv:3: not a time and a count; such as"),
    ):
        answer = storewatch({}, "anomaly", "backtest", file)
        assert (answer.returncode, len(answer.stderr.splitlines())) == (2, 1)
        assert said in answer.stderr


def test_a_replayed_history_is_told_with_hits_misses_and_delay(
    storewatch: Command, tmp_path: Path
) -> None:
    # Four weeks of 30 a minute: an hour without any, and one that is said to be wrong and is not.
    start, week_min, hour_min = 1_767_571_200, 7 * 24 * 60, 60
    lost, harmless = 25 * 24 * 60, 27 * 24 * 60
    lines = ["time,count,fault"]
    for minute in range(4 * week_min):
        gone, said = (begin <= minute < begin + hour_min for begin in (lost, harmless))
        lines.append(f"{start + 60 * minute},{0 if gone else 30},{int(gone or said)}")
    (tmp_path / "orders.csv").write_text("\n".join(lines) + "\n")
    answer = storewatch({}, "anomaly", "backtest", "orders.csv", "--json")
    assert answer.returncode == 1  # one was missed
    told = json.loads(answer.stdout)
    assert (told["hits"], told["misses"], told["false_alarms"]) == (1, 1, 0)
    assert [fault["delay_s"] for fault in told["faults"]] == [120, None]
    text = storewatch({}, "anomaly", "backtest", "orders.csv").stdout
    assert "1 of 2 faults found; 0 false alarms" in text


def test_who_would_be_told_is_explained(storewatch: Command) -> None:
    alerting = {
        "receivers": {"team": SLACK},
        "routes": [{"matchers": ['severity="ticket"'], "receivers": ["team"]}],
        "maintenance": [{"name": "night", "times": ["02:00-03:00"]}],
    }
    words = ("alert", "route", "alertname=InstanceDown", "target=app-1")
    (told,) = json.loads(storewatch(alerting, *words, "--json").stdout)
    assert told["labels"]["severity"] == "ticket"  # which the rule sets
    assert [one["receiver"] for one in told["told"]] == ["team", "desk-ticket"]
    reasons = " ".join(one["why"] for one in told["muted"])
    assert 'alertname="DatabasePrimaryDown"' in reasons
    assert "maintenance night" in reasons
    text = storewatch(alerting, *words).stdout
    assert "told: team (slack)" in text
    assert 'because: severity="ticket"' in text
    assert "after 10s, what changes after 1m, again after 4h" in text
    wrong = storewatch(alerting, "alert", "route", "InstanceDown")
    assert wrong.returncode == 2
    assert "write such as alertname=CheckoutFailing" in wrong.stderr


def test_an_alert_of_several_severities_is_answered_for_each(storewatch: Command) -> None:
    def asked(*words: str) -> tuple[list[tuple[str | None, str]], str]:
        answer = storewatch({}, "alert", "route", *words, "--json")
        found = json.loads(answer.stdout)
        told = [(one["labels"].get("severity"), one["told"][0]["receiver"]) for one in found]
        return told, answer.stderr

    page, ticket = ("page", "desk-page"), ("ticket", "desk-ticket")
    assert asked("alertname=CheckoutBudgetBurn") == ([page, ticket], "")
    assert asked("alertname=CheckoutBudgetBurn", "severity=page") == ([page], "")
    told, warned = asked("alertname=ChekoutFailing")
    assert told == [(None, "desk-ticket")]
    assert "no rule of ours sets these labels" in warned


def test_a_receiver_is_tried_through_the_live_alertmanager(
    storewatch: Command, tmp_path: Path
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    alerting = {"receivers": {"team": SLACK}, "alertmanager": {"listen": listen}}
    with serving() as chat:
        secret = f"{chat.url}/chat"
        config = tmp_path / "alertmanager.yml"
        rendered = storewatch(alerting, "render", "alertmanager", "--secrets", chat=secret)
        config.write_text(rendered.stdout)
        settings = AlertmanagerSettings.model_validate(alerting["alertmanager"])
        program = find_program("alertmanager")
        argv = alertmanager_argv(settings, program, config, tmp_path / "data")
        with running(argv, tmp_path / "log", f"http://{listen}/-/ready"):
            good = storewatch(alerting, "alert", "test", "team")
            assert (good.returncode, good.stdout[:18]) == (0, "team: delivered in"), good.stderr
            assert [path for path, _ in chat.posted] == ["/chat"]
            chat.status = 403
            bad = storewatch(alerting, "alert", "test", "team")
            assert (bad.returncode, bad.stdout[:22]) == (1, "team: refused by slack")
    gone = storewatch(alerting, "alert", "test", "team")
    assert (gone.returncode, gone.stdout) == (4, "")
    assert gone.stderr.strip() == (
        f"storewatch: Alertmanager does not answer at http://{listen} (ConnectionError);"
        " `storewatch status` shows whether it runs"
    )
    assert storewatch(alerting, "alert", "test", "nobody").returncode == 2
    assert storewatch(alerting, "alert", "test", "heartbeat").returncode == 2
