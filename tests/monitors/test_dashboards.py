"""Dashboards: what they ask, how Grafana gets them, and that their numbers are the settings'."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitors.collectors.load import load_families
from monitors.dashboards.grafana import provisioning, to_grafana, to_json
from monitors.dashboards.model import Board, Limits
from monitors.dashboards.registry import boards

LIMITS = Limits(
    response_s=0.2,
    page_load_s=2.0,
    error_ratio=0.001,
    replica_lag_s=10,
    payment_failure_ratio=0.2,
    products_below_safety=0,
    certificate_s=14 * 86400,
    disk_free_ratio_ticket=0.15,
    disk_free_ratio_page=0.1,
    connections_ratio=0.85,
    transaction_age_s=3600,
    slot_retained_bytes=8 * 1024**3,
    backup_age_s=26 * 3600,
    drill_age_s=8 * 86400,
    recovery_time_s=7200,
    recovery_point_s=1800,
    load_p95_s=0.2,
)
BOARDS = boards(LIMITS)
NUMBERS = sorted(LIMITS.__slots__)


def content(board: Board) -> dict[str, Any]:
    return to_grafana(board, "http://127.0.0.1:18600/runbooks")


def panels(board: Board) -> list[dict[str, Any]]:
    return [panel for panel in content(board)["panels"] if panel["type"] != "row"]


def test_there_is_a_dashboard_for_every_part_and_each_has_its_own_address() -> None:
    assert len({board.uid for board in BOARDS}) == len(BOARDS) == 12


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_rate_is_taken_over_grafanas_interval(board: Board) -> None:
    for panel in board.panels():
        for query in panel.queries:
            for window in re.findall(r"\b(?:rate|irate)\([^()]*\[([^]]+)\]", query.expr):
                assert window == "$__rate_interval", query.expr


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_percentiles_are_of_summed_buckets_and_nothing_is_summed_before_its_rate(
    board: Board,
) -> None:
    for panel in board.panels():
        for query in panel.queries:
            assert not re.search(r"rate\(\s*sum", query.expr)
            if "histogram_quantile" in query.expr:
                assert re.search(r"histogram_quantile\([\d.]+, sum by \(le", query.expr)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_variable_that_a_query_uses_is_there_to_be_chosen(board: Board) -> None:
    offered = {variable.name for variable in board.variables} | {"__rate_interval"}
    used = {
        name
        for panel in board.panels()
        for query in panel.queries
        for name in re.findall(r"\$(\w+)", query.expr)
    }
    assert used <= offered
    assert {variable.name for variable in board.variables} <= used


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_what_grafana_gets_is_a_dashboard_of_its_model(board: Board) -> None:
    found = content(board)
    assert Dashboard.from_json(json.loads(to_json(found))).uid == board.uid
    numbers = [panel["id"] for panel in panels(board)]
    assert numbers == list(range(1, len(board.panels()) + 1))
    for panel in panels(board):
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
    assert {entry["name"] for entry in found["annotations"]["list"]} == {
        "Incidents",
        "Releases",
        "Drills and proofs",
    }


def test_equal_settings_give_equal_files() -> None:
    again = boards(LIMITS)
    assert [to_json(content(b)) for b in BOARDS] == [to_json(content(b)) for b in again]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_of_the_settings_shows_in_a_panel(name: str) -> None:
    other = boards(replace(LIMITS, **{name: 0.123456}))
    changed = [a for a, b in zip(BOARDS, other, strict=True) if content(a) != content(b)]
    assert changed


def test_provisioning_names_the_source_and_the_folder() -> None:
    files = {
        name: yaml.safe_load(text) for name, text in provisioning("http://p:9090", "1m").items()
    }
    (source,) = files["provisioning/datasources/storewatch.yaml"]["datasources"]
    assert source["url"] == "http://p:9090"
    assert source["jsonData"]["timeInterval"] == "1m"  # else $__rate_interval holds one sample
    (provider,) = files["provisioning/dashboards/storewatch.yaml"]["providers"]
    assert provider["allowUiUpdates"] is False


def test_what_is_asked_of_a_running_load_test_is_exported_and_may_be_empty() -> None:
    queries = [
        query
        for board in BOARDS
        for panel in board.panels()
        for query in panel.queries
        if "storewatch_load_" in query.expr
    ]
    asked = {re.sub(r".*(storewatch_load_[a-z_]+).*", r"\1", query.expr) for query in queries}
    assert {name.removesuffix("_total") for name in asked} <= {
        one.name for one in load_families([])
    }
    assert len(asked) >= 8
    assert all(query.empty for query in queries)
