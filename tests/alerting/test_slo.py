from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.slo import load_slos
from alerting.slo_rules import error_ratio, slo_groups
from alerting.windows import BURN_WINDOWS, DIRECT_WINDOWS, SUMMED_WINDOWS, window_s
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
                "page_alert": {"labels": {"team": "us"}},
                "ticket_alert": {"disable": True},
            },
        }
    ],
}


def written(folder: Path, spec: Any) -> tuple[Path]:
    path = folder / "slo.yaml"
    path.write_text(yaml.safe_dump(spec))
    return (path,)


def changed(**slo: Any) -> dict[str, Any]:
    return {**SPEC, "slos": [{**SPEC["slos"][0], **slo}]}


def compiled(folder: Path) -> list[dict[str, Any]]:
    (file,) = load_slos(written(folder, SPEC))
    groups = slo_groups(file, interval_s=5, events_min=10, runbook="pages/{alert}.md")
    return [rule for group in groups for rule in group["rules"]]


def test_a_sloth_file_is_read(tmp_path: Path) -> None:
    (file,) = load_slos(written(tmp_path, SPEC))
    (slo,) = file.slos
    assert slo.error_budget_ratio == 0.001
    assert slo.sli.events.total("5m") == "sum(rate(requests_total[5m]))"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({**SPEC, "slo_plugins": {}}, "slo_plugins: unknown key"),
        (changed(sli={"raw": {"error_ratio_query": "x"}}), "unknown key"),
        (changed(target=99), "slos.0.target: unknown key"),
        (changed(name='a"b'), "slos.0.name: String should match pattern"),
        (changed(objective=100), "slos.0.objective: Input should be less than 100"),
        (changed(objective="high"), "slos.0.objective"),
        ({**SPEC, "version": "sloth/v2"}, "version: Input should be 'prometheus/v1'"),
        (
            changed(sli={"events": {"error_query": "sum(x)", "total_query": "sum(x)"}}),
            "write rate(requests_total[{{.window}}])",
        ),
        ([], "the file"),
        ({**SPEC, "slos": SPEC["slos"] * 2}, "give each its own name"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_key(tmp_path: Path, spec: Any, said: str) -> None:
    with pytest.raises(AlertError) as caught:
        load_slos(written(tmp_path, spec))
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


def test_labels_and_annotations_of_the_file_reach_the_alert(tmp_path: Path) -> None:
    (alert,) = [rule for rule in compiled(tmp_path) if "alert" in rule]
    assert alert["labels"] == {
        "category": "availability",
        "severity": "page",
        "sloth_severity": "page",
        "team": "us",
    }
    assert alert["annotations"]["summary"] == "Too many errors"
    assert alert["annotations"]["runbook"] == "pages/MyServiceBurns.md"


def test_a_disabled_alert_is_left_out(tmp_path: Path) -> None:
    assert [r["labels"]["severity"] for r in compiled(tmp_path) if "alert" in r] == ["page"]


def test_every_window_of_the_workbook_is_recorded() -> None:
    recorded = {*DIRECT_WINDOWS, *SUMMED_WINDOWS}
    assert {w for pair in BURN_WINDOWS for w in (pair.long, pair.short)} <= recorded
    assert [(p.long, p.short, p.factor) for p in BURN_WINDOWS] == [
        ("1h", "5m", 14.4),
        ("6h", "30m", 6),
        ("1d", "2h", 3),
        ("3d", "6h", 1),
    ]


def test_each_pair_of_windows_spends_the_share_of_the_budget_that_it_is_known_for() -> None:
    spent = [pair.factor * window_s(pair.long) / (30 * 86400) for pair in BURN_WINDOWS]
    assert spent == pytest.approx([0.02, 0.05, 0.10, 0.10])


def test_a_ratio_is_guarded_on_both_sides() -> None:
    assert error_ratio("e", "t") == "((e) or 0 * (t)) / ((t) > 0) or 0 * (t)"
