"""`slo`, `anomaly` and `alert` as somebody types them."""

import json
from pathlib import Path

from alerting_section import SLACK, Command, slo_file
from loopback import free_port
from running import running, serving

from alerting.routes import alertmanager_argv
from alerting.settings import AlertmanagerSettings
from storewatch.tools import find_program


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
