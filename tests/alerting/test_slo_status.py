"""What `storewatch slo status` makes of a real Prometheus that evaluates the compiled rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import free_port
from running import running, serving, until

from alerting.budget_policy import DEFAULT_POLICY, PolicyLevel, level_of
from alerting.prometheus import prometheus_argv, render_prometheus
from alerting.rules import render_rules, service_levels
from alerting.settings import AlertSettings
from alerting.slo_status import SloStatus, read_status, verdict_of
from storewatch.core.errors import UnreachableError
from storewatch.core.targets import Verdict
from storewatch.store.prometheus_api import vector
from storewatch.tools import find_program

METRICS = """\
app:bad:rate 2
app:all:rate 1000
took_seconds_bucket{le="0.5"} 1
took_seconds_count 1
"""


def source(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def objective(name: str, metric: dict[str, Any], **objective: Any) -> dict[str, Any]:
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name},
        "spec": {
            "service": "app",
            "indicator": {"spec": metric},
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": 0.99, **objective}],
        },
    }


RATES = {"ratioMetric": {"bad": source("app:bad:rate"), "total": source("app:all:rate")}}
NO_BUCKET = {"thresholdMetric": source("took_seconds_bucket")}


@pytest.fixture
def settings(tmp_path: Path) -> AlertSettings:
    path = tmp_path / "slos.yaml"
    documents = [objective("fine", RATES), objective("slow", NO_BUCKET, op="lte", value=0.3)]
    documents.append(objective("strict", RATES, target=0.999))
    path.write_text(yaml.safe_dump_all(documents))
    listen = f"127.0.0.1:{free_port()}"
    prometheus = {"listen": listen, "scrape_interval": "1s", "evaluation_interval": "1s"}
    own = {"slos": [str(path)], "slo_interval": "1s", "prometheus": prometheus}
    return AlertSettings.model_validate(own)


@pytest.fixture
def prometheus(settings: AlertSettings, tmp_path: Path) -> Iterator[str]:
    """Prometheus with 0.2 % of bad events: a fifth of one budget, twice the other."""
    rules, config = tmp_path / "rules.yml", tmp_path / "prometheus.yml"
    # What is evaluated every other minute is looked at soon here.
    rules.write_text(re.sub(r"interval: \d+s", "interval: 1s", render_rules(settings)))
    with serving({"/metrics": METRICS}) as exporter:
        host, port = exporter.url.removeprefix("http://").split(":")
        config.write_text(render_prometheus(settings, rules, (host, int(port))))
        argv = prometheus_argv(settings, find_program("prometheus"), config, tmp_path / "tsdb")
        address = "http://{}:{}".format(*settings.prometheus.listen)
        with running(argv, tmp_path / "prometheus.log", f"{address}/-/ready"):
            yield address


def test_budgets_are_read_and_judged_from_a_live_prometheus(
    settings: AlertSettings, prometheus: str
) -> None:
    slos = service_levels(settings)

    def statuses() -> dict[str, SloStatus]:
        found = read_status(prometheus, slos, settings.error_budget_policy, 10)
        return {status.slo.name: status for status in found}

    def judged() -> bool:
        strict = statuses()["strict-0"]
        return strict.state == "frozen" and strict.burn_rate is not None

    until(judged, 30)
    found = statuses()
    assert found["fine-0"].remaining == pytest.approx(0.8)
    assert (found["fine-0"].state, found["fine-0"].verdict) == ("ok", Verdict.PASS)
    assert found["strict-0"].remaining == pytest.approx(-1)
    assert found["strict-0"].burn_rate == pytest.approx(2)
    assert found["strict-0"].verdict is Verdict.FAIL
    assert found["slow-0"].verdict is Verdict.INCONCLUSIVE
    assert found["slow-0"].note == "took_seconds has no bucket at 0.3; it has 0.5"
    assert verdict_of([found["fine-0"]]) is Verdict.PASS
    assert verdict_of([found["fine-0"], found["slow-0"]]) is Verdict.INCONCLUSIVE
    assert verdict_of(list(found.values())) is Verdict.FAIL
    told = json.loads(json.dumps(found["strict-0"].to_json()))
    assert told["policy"] == {"spent": 1.0, "action": "releases are frozen", "freeze": True}
    assert not vector(prometheus, "prometheus_rule_evaluation_failures_total > 0")


def test_a_prometheus_that_does_not_answer_is_said(settings: AlertSettings) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        read_status(f"http://127.0.0.1:{free_port()}", service_levels(settings), (), 10)


@pytest.mark.parametrize(
    ("remaining", "bad_events", "spent"),
    [
        (0.51, 500, None),
        (0.5, 500, 0.5),
        (0.25, 500, 0.75),
        (0.0, 500, 1.0),
        (-3.0, 500, 1.0),
        (-3.0, 9, None),
        (-3.0, 10, 1.0),
        (-3.0, None, 1.0),
    ],
)
def test_the_highest_level_that_is_reached_holds(
    remaining: float, bad_events: float | None, spent: float | None
) -> None:
    level = level_of(DEFAULT_POLICY, remaining, bad_events, 10)
    assert (level and level.spent) == spent


def test_levels_that_do_not_rise_are_refused() -> None:
    levels = [{"spent": 1, "action": "stop"}, {"spent": 0.5, "action": "look"}]
    with pytest.raises(ValueError, match="levels must rise"):
        AlertSettings.model_validate({"error_budget_policy": levels})


def test_a_level_may_tell_nobody() -> None:
    level = PolicyLevel.model_validate({"spent": 0.3, "action": "look", "severity": None})
    policy = {"error_budget_policy": [level.model_dump()]}
    text = render_rules(AlertSettings.model_validate(policy))
    assert "ErrorBudget" not in text
