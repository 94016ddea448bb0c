"""The shop as the exporter sees it, with the account and the queries that the demo has."""

from pathlib import Path

from prometheus_client.core import Metric
from shop_stack import Stack, until

from monitors.page import Page
from monitors.registry import Sources, build_watch
from monitors.settings import MonitorSettings
from storewatch.store.evidence import EvidenceStore

ROOT = Path(__file__).parents[2]


def values(families: list[Metric], name: str) -> dict[str, float]:
    """Return the samples of a name by their labels, written as one text."""
    samples = [s for family in families for s in family.samples if s.name == name]
    return {" ".join(sorted(s.labels.values())): s.value for s in samples}


def test_nothing_of_the_shop_is_hidden_from_its_monitor(shop: Stack, tmp_path: Path) -> None:
    nodes = [{"name": name, "port": shop.settings.port(name)} for name in ("db-a", "db-b")]
    settings = MonitorSettings.model_validate(
        {
            "edge": {"log": str(shop.settings.shop / "logs" / "access.json")},
            "postgres": {
                "database": "shop",
                "user": "storewatch_monitor",
                "password": shop.environment["MONITOR_DB_PASSWORD"],
                "nodes": nodes,
            },
            "redis": {
                "port": shop.settings.port("redis"),
                "password": shop.environment["REDIS_PASSWORD"],
            },
            "business": {"file": str(ROOT / "storefront" / "business.yaml")},
        }
    )
    page = Page(build_watch(settings, tmp_path, Sources(EvidenceStore(tmp_path))).collectors, 5.0)
    page.collect()
    assert shop.buy(75, 30).status_code == 201

    def scrape() -> list[Metric]:
        return list(page.collect())

    failed = "storewatch_business_query_failed"
    until(lambda: len(values(scrape(), failed)) == 24, "every query")
    found = scrape()
    assert set(values(found, failed).values()) == {0.0}
    assert set(values(found, "storewatch_business_query_dropped_rows").values()) == {0.0}
    assert set(values(found, "storewatch_collector_success").values()) == {1.0}
    parts = values(found, "storewatch_pg_part_failed")
    assert len(parts) >= 36
    assert not any(parts.values())
    assert values(found, "storewatch_orders_placed_total")[""] >= 1
    bloat = values(found, "storewatch_pg_table_bloat_bytes")
    assert any("products" in table for table in bloat)
    checkout = "/api/checkout"
    counted = "storewatch_edge_requests_total"
    until(lambda: any(checkout in key for key in values(scrape(), counted)), "the checkout's line")
