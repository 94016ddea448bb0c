from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.rules import compile_rules
from alerting.settings import AlertSettings
from alerting.sli import Kind
from alerting.slo_files import load_slos
from alerting.windows import FAST_WINDOWS, SLOW_WINDOWS, burn_windows, window_s
from storewatch.core.errors import AlertError

SPEC: dict[str, Any] = {
    "version": "prometheus/v1",
    "service": "myservice",
    "labels": {"owner": "myteam"},
    "slos": [
        {
            "name": "requests-availability",
            "objective": 99.9,
            "description": "Requests that are answered.",
            "labels": {"tier": "1"},
            "infoLabels": {"dashboard": "requests"},
            "sli": {
                "events": {
                    "error_query": 'sum(rate(requests_total{code=~"5.."}[{{.window}}]))',
                    "total_query": "sum(rate(requests_total[{{ .window }}]))",
                }
            },
            "alerting": {
                "name": "MyServiceBurns",
                "labels": {"category": "availability"},
                "annotations": {"summary": "Too many errors"},
                "page_alert": {"labels": {"team": "us", "severity": "critical"}},
                "ticket_alert": {"disable": True},
            },
        }
    ],
}
RATE = "rate(requests_total[{{.window}}])"


def written(folder: Path, spec: Any) -> tuple[Path]:
    path = folder / "slo.yaml"
    path.write_text(yaml.safe_dump(spec))
    return (path,)


def changed(**slo: Any) -> dict[str, Any]:
    return {**SPEC, "slos": [{**SPEC["slos"][0], **slo}]}


def compiled(folder: Path, **settings: Any) -> list[dict[str, Any]]:
    given = {"slos": [str(path) for path in written(folder, SPEC)], **settings}
    groups = compile_rules(AlertSettings.model_validate(given))["groups"]
    return [
        rule for group in groups if group["name"].startswith("sloth-") for rule in group["rules"]
    ]


def test_a_sloth_file_is_read(tmp_path: Path) -> None:
    (slo,) = load_slos(written(tmp_path, SPEC))
    assert (slo.id, slo.spec, slo.period_days) == (
        "myservice-requests-availability",
        "prometheus/v1",
        30,
    )
    assert slo.error_budget_ratio == 0.001
    assert slo.sli.kind is Kind.EVENTS


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({**SPEC, "slo_plugins": {}}, "slo_plugins: not supported; SLO plugins are Go programs"),
        (changed(plugins={"chain": []}), "slos.0.plugins: not supported"),
        (changed(interval={"all": "1m"}), "slos.0.interval: not supported; rules are evaluated at"),
        (changed(sli={"plugin": {"id": "x"}}), "slos.0.sli.plugin: not supported; SLI plugins"),
        (changed(sli={"raw": {"ratio": "x"}}), "slos.0.sli.raw.ratio: unknown key"),
        (changed(sli={}), "slos.0.sli: name what is counted once: events or raw"),
        (
            changed(sli={**SPEC["slos"][0]["sli"], "raw": {"error_ratio_query": RATE}}),
            "name what is counted once",
        ),
        (changed(sli={"raw": {"error_ratio_query": "x"}}), "the query has no {{.window}}"),
        (changed(target=99), "slos.0.target: unknown key"),
        (changed(name='a"b'), "slos.0.name: String should match pattern"),
        (changed(objective=100), "slos.0.objective: Input should be less than 100"),
        (changed(objective="high"), "slos.0.objective"),
        ({**SPEC, "version": "sloth/v2"}, "version: 'sloth/v2'; write version: prometheus/v1"),
        ({"apiVersion": "openslo/v2"}, "apiVersion: 'openslo/v2'; write version: prometheus/v1"),
        (
            changed(sli={"events": {"error_query": "sum(x)", "total_query": "sum(x)"}}),
            "write rate(requests_total[{{.window}}])",
        ),
        ({**SPEC, "slos": []}, "slos: Tuple should have at least 1 item"),
        ([], "version: None; write version: prometheus/v1"),
        (None, "the file is empty"),
        ({**SPEC, "slos": SPEC["slos"] * 2}, "give each its own name"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_file_and_key(
    tmp_path: Path, spec: Any, said: str
) -> None:
    with pytest.raises(AlertError) as caught:
        load_slos(written(tmp_path, spec))
    assert str(caught.value).startswith(str(tmp_path / "slo.yaml"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlertError, match=r"none\.yaml: cannot be read"):
        load_slos((tmp_path / "none.yaml",))
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(AlertError, match=r"bad\.yaml: not YAML"):
        load_slos((tmp_path / "bad.yaml",))


def test_records_carry_sloths_names_and_labels(tmp_path: Path) -> None:
    rules = {rule["record"]: rule for rule in compiled(tmp_path) if "record" in rule}
    for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"):
        record = rules[f"slo:sli_error:ratio_rate{window}"]
        assert record["labels"] == {
            "owner": "myteam",
            "sloth_id": "myservice-requests-availability",
            "sloth_service": "myservice",
            "sloth_slo": "requests-availability",
            "sloth_window": window,
            "tier": "1",
        }
    assert {
        "slo:objective:ratio",
        "slo:error_budget:ratio",
        "slo:time_period:days",
        "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
        "sloth_slo_info",
    } <= set(rules)
    assert rules["slo:objective:ratio"]["expr"] == "vector(0.999)"
    info = rules["sloth_slo_info"]["labels"]
    assert (info["dashboard"], info["sloth_objective"]) == ("requests", "99.9")


@pytest.mark.parametrize(("period", "window"), [("7d", "1w"), ("28d", "4w"), ("30d", "30d")])
def test_the_records_of_a_period_carry_the_name_that_sloth_gives_them(
    tmp_path: Path, period: str, window: str
) -> None:
    records = {rule.get("record") for rule in compiled(tmp_path, slo_period=period)}
    assert f"slo:sli_error:ratio_rate{window}" in records


def test_labels_and_annotations_of_the_file_reach_the_alert(tmp_path: Path) -> None:
    (alert,) = [rule for rule in compiled(tmp_path) if "alert" in rule]
    assert alert["labels"] == {
        "category": "availability",
        "severity": "critical",
        "sloth_severity": "page",
        "team": "us",
    }
    assert alert["annotations"]["summary"] == "Too many errors"
    assert alert["annotations"]["runbook"] == "runbooks/pages/MyServiceBurns.md"


def test_a_disabled_alert_is_left_out(tmp_path: Path) -> None:
    severities = [r["labels"]["sloth_severity"] for r in compiled(tmp_path) if "alert" in r]
    assert severities == ["page"]


def test_a_period_for_an_slo_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AlertError, match=r"slo_periods\.myservice-other: no SLO of this id"):
        compiled(tmp_path, slo_periods={"myservice-other": "7d"})


def test_a_threshold_that_is_no_bucket_of_a_known_histogram_is_refused(tmp_path: Path) -> None:
    query = 'sum(rate(took_seconds_bucket{route="/a/{id}",le="0.3"}[{{.window}}]))'
    total = "sum(rate(took_seconds_count[{{.window}}]))"
    events = {"error_query": f"{total} - {query}", "total_query": total}
    paths = written(tmp_path, changed(sli={"events": events}))
    (slo,) = load_slos(paths, histograms={"took_seconds": ("0.1", "0.3")})
    assert slo.sli.kind is Kind.LATENCY
    with pytest.raises(AlertError) as caught:
        load_slos(paths, histograms={"took_seconds": ("0.1", "0.2", "0.5")})
    assert "took_seconds has no bucket at 0.3; write one of its bounds: 0.1, 0.2, 0.5" in str(
        caught.value
    )
    assert load_slos(paths, histograms={"other": ("1",)})


def test_every_window_that_an_alert_compares_is_recorded() -> None:
    recorded = {*FAST_WINDOWS, *SLOW_WINDOWS}
    for period in burn_windows().values():
        assert {w for pair in period.windows for w in (pair.long, pair.short)} <= recorded


@pytest.mark.parametrize(
    ("days", "factors"),
    [
        (30, [14.4, 6, 3, 1]),
        (28, [13.44, 5.6, 2.8, 0.933333]),
        (7, [13.44, 3.5, 1.4, 0.98]),
    ],
)
def test_factors_follow_from_the_share_of_the_budget(days: int, factors: list[float]) -> None:
    period = burn_windows()[days]
    assert [pair.factor(days) for pair in period.windows] == factors
    for pair in period.windows:
        spent = pair.factor(days) * window_s(pair.long) / (days * 86400)
        assert spent == pytest.approx(pair.budget_share, rel=1e-4)
    assert period.source
