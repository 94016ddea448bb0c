"""How many series there are after ten thousand shoppers and products were seen."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from loopback import until
from watching import PASSWORD, Pair, one

from monitors.collectors.postgres.collector import PostgresCollector
from monitors.exposition import exposition
from monitors.page import Page
from monitors.registry import Sources, Watch, build_watch
from monitors.settings import MonitorSettings
from storewatch.store.evidence import EvidenceStore

ROOT = Path(__file__).parents[2]
SCHEMA = (ROOT / "storefront" / "demo" / "schema.sql").read_text()
DEMO = yaml.safe_load((ROOT / "storewatch.yaml").read_text())["monitors"]
MANY = 10_000

# What ten thousand shoppers leave behind, each with a product and an order of their own.
TRAFFIC = """
INSERT INTO categories SELECT n, 'category-' || n, 'C' FROM generate_series(1, 200) AS n;
INSERT INTO users (id, email, name, password_hash, last_active_on)
  SELECT n, n || '@example.test', 'Shopper', 'x', current_date - (n % 60) FROM many;
INSERT INTO products (id, sku, name, description, category_id, price_cents, stock, initial_stock,
                      safety_stock, image)
  SELECT n, 'S-' || n, 'P', 'D', 1 + n % 200, 100, CASE WHEN n % 10 = 0 THEN 1 ELSE 99 END,
         CASE WHEN n % 10 = 0 THEN 2 ELSE 100 END, 5, 'x.svg' FROM many;
INSERT INTO orders (user_id, idempotency_key, state, total_cents, provider, created_at, paid_at,
                    shipped_at, delivered_at, refunded_at)
  SELECT n, 'key-' || n,
         CASE WHEN n % 10 = 0 THEN 'refunded' ELSE 'delivered' END, 100 + n, 'alpha',
         now() - interval '40 min', now() - interval '30 min', now() - interval '20 min',
         now() - interval '10 min', CASE WHEN n % 10 = 0 THEN now() END FROM many;
INSERT INTO order_lines SELECT o.id, o.user_id, 1, 100 FROM orders o;
INSERT INTO payments (order_id, attempt, provider, idempotency_key, state, amount_cents,
                      claimed_until)
  SELECT o.id, 1, CASE WHEN user_id % 2 = 0 THEN 'alpha' ELSE 'beta' END, 'pay-' || user_id,
         CASE WHEN user_id % 10 = 0 THEN 'refunded' ELSE 'captured' END, 100, now() FROM orders o;
INSERT INTO events (kind, product_id)
  SELECT k, n FROM many, unnest(ARRAY['visit', 'visit', 'view', 'add_to_cart', 'order']) AS k;
INSERT INTO enquiries (user_id, topic, created_at, answered_at)
  SELECT n, 'return', now() - interval '2 h', CASE WHEN n % 2 = 0 THEN now() END FROM many;
"""


@pytest.fixture(scope="module")
def shop(pair: Pair) -> Iterator[Pair]:
    """The reference shop's database beside the others of the server, full of traffic."""
    with pair.primary.connect() as connection:
        connection.execute("CREATE ROLE shop LOGIN")
        connection.execute("CREATE DATABASE reference OWNER shop")
    role = (ROOT / "monitors" / "sql" / "monitoring_role.sql").read_text()
    with pair.primary.connect("reference") as connection:
        connection.execute(re.sub(r"CREATE ROLE .*?;", "", role, count=1, flags=re.S).encode())
        connection.execute(SCHEMA.encode())
        connection.execute("CREATE TEMPORARY TABLE many AS SELECT generate_series(1, 10000) AS n")
        connection.execute(TRAFFIC.encode())
        connection.execute("INSERT INTO shop_settings VALUES ('payment_provider', 'alpha')")
        connection.execute("ANALYZE")
        row = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    assert row is not None
    with pair.standby.connect() as connection:
        done = "SELECT pg_last_wal_replay_lsn() >= %s"
        until(lambda: connection.execute(done, row).fetchone() == (True,))
    yield pair
    with pair.primary.connect() as connection:
        connection.execute("DROP DATABASE reference WITH (FORCE)")
        connection.execute("DROP ROLE shop")


def watch(home: Path, shop: Pair, cache: int) -> Watch:
    """Return what the demo's configuration watches, at the test's addresses."""
    nodes = [{"name": n.name, "port": n.port} for n in (shop.primary, shop.standby)]
    settings = MonitorSettings.model_validate(
        {
            "host": DEMO["host"],
            "edge": {**DEMO["edge"], "log": "access.json"},
            "postgres": {
                **DEMO["postgres"],
                "database": "reference",
                "password": PASSWORD,
                "nodes": nodes,
                "timeout": "5s",
            },
            "redis": {"port": cache, "password": PASSWORD},
            "business": {"file": str(ROOT / "storefront" / "business.yaml"), "timeout": "10s"},
        }
    )
    return build_watch(settings, home, Sources(EvidenceStore(home)))


def test_ten_thousand_shoppers_and_products_are_fewer_than_five_thousand_series(
    tmp_path: Path, shop: Pair, cache: int
) -> None:
    log = tmp_path / "access.json"
    log.touch()
    page = Page(watch(tmp_path, shop, cache).collectors, 20.0)
    entry = {"method": "GET", "status": 200, "request_time_s": 0.01}
    with log.open("w") as file:
        for number in range(MANY):
            for route in ("/products/{product_id}", f"/products/{number}"):  # an edge that leaks
                file.write(json.dumps({**entry, "route": route, "request_id": number}) + "\n")

    def everything() -> list[str]:
        text = exposition(page.collect()).decode()
        return [line for line in text.splitlines() if not line.startswith("#")]

    def complete() -> bool:
        lines = [line for line in everything() if "query_failed" in line]
        return len(lines) == 24 and all(line.endswith(" 0.0") for line in lines)

    until(complete, 30)
    lines = everything()
    assert len(lines) < 5_000, Counter(re.split("[{ ]", line)[0] for line in lines).most_common(9)
    assert not [line for line in lines if re.search(r"S-\d+|@example|key-\d+|pay-\d+", line)]
    labels = [line for line in lines if 'category="' in line]
    assert len(labels) == 50


def test_the_shops_figures_are_right(tmp_path: Path, shop: Pair, cache: int) -> None:
    (tmp_path / "access.json").touch()
    (business,) = (c for c in watch(tmp_path, shop, cache).collectors if c.name == "business")
    until(lambda: len({f.name for f in business.collect()}) == 24 + 5)
    found = list(business.collect())

    def figure(name: str, **labels: str) -> float:
        return one(found, f"storewatch_{name}", **labels)

    assert figure("orders_placed_total") == MANY
    assert figure("orders", state="delivered") == 0.9 * MANY
    assert figure("orders", state="placed") == 0
    assert figure("revenue_cents_total") == sum(100 + n for n in range(1, MANY + 1))
    assert figure("average_order_cents") == pytest.approx(100 + (MANY + 1) / 2)
    assert figure("refunds_cents_total") == sum(100 + n for n in range(10, MANY + 1, 10))
    assert figure("return_ratio") == pytest.approx(0.1)
    assert figure("conversion_ratio") == pytest.approx(0.5)
    assert figure("funnel_events_total", kind="visit") == 2 * MANY
    assert figure("funnel_window_events", kind="view") == MANY
    assert figure("active_users", window="1d") == pytest.approx(MANY / 60, abs=1)
    assert figure("active_users", window="30d") == pytest.approx(MANY / 2, rel=0.01)
    assert figure("repurchase_ratio") == 0
    assert figure("payment_failure_ratio", provider="alpha") == 0
    assert figure("payments", provider="beta", state="captured") == MANY / 2
    assert figure("payments_captured_total") == MANY
    assert figure("order_processing_seconds", stage="payment", statistic="p95") == 600
    assert figure("products_below_safety_stock") == MANY / 10
    assert figure("enquiries_open", topic="return") == MANY / 2
    assert figure("oldest_open_enquiry_seconds") == pytest.approx(7200, abs=120)
    assert figure("first_answer_seconds", statistic="median") == pytest.approx(7200, abs=120)
    assert figure("invariant_violations", invariant="oversold_units") == 0
    assert figure("payment_provider_selected", provider="alpha") == 1


def test_few_events_make_no_ratio(tmp_path: Path, shop: Pair, cache: int) -> None:
    (tmp_path / "access.json").touch()
    ratios = {"conversion_ratio", "return_ratio", "repurchase_ratio", "payment_failure_ratio"}
    url = f"host=127.0.0.1 port={shop.primary.port} user=postgres dbname=reference"
    with psycopg.connect(url, password=PASSWORD) as connection:  # never committed
        queries = yaml.safe_load((ROOT / "storefront" / "business.yaml").read_text())["queries"]
        for query in queries:
            if query["name"].removeprefix("storewatch_") not in ratios:
                continue
            assert connection.execute(query["sql"]).fetchall(), query["name"]
            connection.execute("SAVEPOINT crowded")
            connection.execute("DELETE FROM events WHERE id > 9")
            connection.execute("TRUNCATE order_lines, payments, shipments")
            connection.execute("DELETE FROM orders WHERE user_id > 9")
            assert connection.execute(query["sql"]).fetchall() == [], query["name"]
            connection.execute("ROLLBACK TO crowded")
        connection.rollback()


def test_ten_thousand_tables_users_and_statements_are_no_more_series(shop: Pair) -> None:
    settings = shop.settings()
    collector = PostgresCollector(settings, settings.nodes[0])

    def series() -> int:
        return sum(len(family.samples) for family in collector.collect())

    before = series()
    with shop.primary.connect("shop") as connection:
        for number in range(300):
            connection.execute(f"CREATE TABLE crowd_{number} (id int)")
            connection.execute(f"SELECT count(*) AS one_{number} FROM crowd_{number}")  # noqa: S608
        try:
            assert series() - before < settings.maximum_tables * 20
        finally:
            for number in range(300):
                connection.execute(f"DROP TABLE crowd_{number}")
