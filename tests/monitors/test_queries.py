from pathlib import Path
from typing import Any

import pytest
import yaml

from monitors.queries import Maximum, load_queries

QUERY = {"name": "orders", "type": "gauge", "help": "O.", "sql": "SELECT 1 AS value"}
SHIPPED = Path(__file__).parents[2] / "storefront" / "business.yaml"


def write(folder: Path, *queries: dict[str, Any], **more: Any) -> Path:
    file = folder / "business.yaml"
    file.write_text(yaml.safe_dump({"queries": list(queries), **more}))
    return file


def test_everything_a_query_may_say(tmp_path: Path) -> None:
    labels = {"provider": ["alpha", "beta"], "category": {"maximum": 20}}
    keys = {"labels": labels, "interval": "5m", "timeout": "10s", "type": "counter"}
    (query,) = load_queries(write(tmp_path, {**QUERY, **keys, "sql": "SELECT 1 AS value;\n"}))
    assert query.sql == "SELECT 1 AS value"
    assert query.labels == {"provider": ("alpha", "beta"), "category": Maximum(maximum=20)}
    assert (query.interval, query.timeout, query.stale_after_s) == (300, 10, 610)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lables": {}}, "queries[0].lables: unknown key; see docs/reference/business-queries.md"),
        ({"name": "Orders"}, "queries[0].name: not a metric name; write letters"),
        ({"name": "orders_total"}, "queries[0].name: leave out _total"),
        ({"type": "histogram"}, "queries[0].type: Input should be 'gauge' or 'counter'"),
        ({"type": None}, "queries[0].type: "),
        ({"help": " "}, "queries[0].help: empty"),
        ({"sql": ""}, "queries[0].sql: empty"),
        ({"timeout": 3}, "queries[0].timeout: not a duration"),
        ({"interval": "0s"}, "queries[0].interval: a duration must be longer than zero"),
        ({"labels": {"le": ["1"]}}, "not a label's name"),
        ({"labels": {"__x": ["1"]}}, "not a label's name"),
        ({"labels": {"value": ["1"]}}, "not a label's name"),
        ({"labels": {"state": []}}, "queries[0].labels.state: "),
        ({"labels": {"state": {"maximum": 0}}}, "queries[0].labels.state.maximum: "),
        ({"labels": {"state": {"maximum": 9999}}}, "queries[0].labels.state.maximum: "),
        ({"labels": {"state": {"most": 3}}}, "queries[0].labels.state.most: unknown key"),
        (
            {"labels": {"a": {"maximum": 100}, "b": {"maximum": 11}}},
            "queries[0]: its labels allow 1100 series; allow 1000 at most",
        ),
        ({"labels": {"a": {"maximum": 2}}, "default": 0}, "`default` needs labels with a list"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    file = write(tmp_path, {**QUERY, **change})
    with pytest.raises(ValueError) as caught:
        load_queries(file)
    assert all(line.startswith(f"{file}: ") for line in str(caught.value).splitlines())
    assert message in str(caught.value)
    assert "Maximum" not in str(caught.value)


def test_every_mistake_has_a_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        load_queries(write(tmp_path, {**QUERY, "name": "A"}, {**QUERY, "helo": 1}, other=1))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queries: [1, }", "line 1: "),
        ("queries:\n- name: a\n  name: b\n", "line 3: the key 'name' is there twice; keep one"),
        ("queries: []", "there are no queries"),
        ("[]", "the file: "),
        ("", "the file: "),
    ],
)
def test_what_is_no_query_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "business.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"business\.yaml: ") as caught:
        load_queries(file)
    assert message in str(caught.value)


def test_two_queries_of_one_name_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two queries are named 'orders'"):
        load_queries(write(tmp_path, QUERY, QUERY))
    with pytest.raises(ValueError, match="No such file or directory; write the path"):
        load_queries(tmp_path / "none.yaml")


def test_the_reference_shops_queries_cover_what_a_shop_asks(tmp_path: Path) -> None:
    queries = {query.name: query for query in load_queries(SHIPPED)}
    assert len(queries) >= 20
    for name in (
        "funnel_events", "conversion_ratio", "average_order_cents", "repurchase_ratio",
        "return_ratio", "payment_failure_ratio", "order_processing_seconds",
        "products_below_safety_stock", "oldest_open_enquiry_seconds", "active_users",
    ):  # fmt: skip
        assert f"storewatch_{name}" in queries
    ratios = [q for q in queries.values() if q.name.endswith("_ratio")]
    assert all("HAVING count(*)" in q.sql for q in ratios)  # a minimum of events
