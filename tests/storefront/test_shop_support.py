"""Support's clock and the day of the last log-in: what the business's figures are made of."""

from pathlib import Path

import psycopg
import pytest
from shop_stack import Stack, until

DEMO = Path(__file__).parents[2] / "storefront" / "demo"


def test_the_clock_of_an_enquiry_stops_at_the_first_answer(shop: Stack) -> None:
    headers = shop.sign_in(70)
    answer = shop.call("POST", "/api/enquiries", json={"topic": "delivery"}, headers=headers)
    assert answer.status_code == 201
    path = f"/api/admin/enquiries/{answer.json()['enquiry_id']}/answer"
    staff = {"Authorization": f"Bearer {shop.environment['SHOP_ADMIN_TOKEN']}"}
    assert shop.call("POST", path, headers=headers).status_code == 403
    times = []
    for _ in range(2):
        assert shop.call("POST", path, headers=staff).status_code == 200
        times += shop.rows("SELECT topic, answered_at FROM enquiries WHERE user_id = 71")
    assert times[0] == times[1]
    assert times[0]["topic"] == "delivery"
    assert times[0]["answered_at"] is not None


@pytest.mark.parametrize("topic", ["", "DROP TABLE", None, 7])
def test_an_enquiry_about_nothing_is_refused(shop: Stack, topic: object) -> None:
    headers = shop.sign_in(72)
    answer = shop.call("POST", "/api/enquiries", json={"topic": topic}, headers=headers)
    assert answer.status_code == 400


def test_an_enquiry_needs_a_shopper_and_an_answer_an_enquiry(shop: Stack) -> None:
    assert shop.call("POST", "/api/enquiries", json={"topic": "order"}).status_code == 401
    staff = {"Authorization": f"Bearer {shop.environment['SHOP_ADMIN_TOKEN']}"}
    for number in ("999999999", "9" * 30):
        path = f"/api/admin/enquiries/{number}/answer"
        assert shop.call("POST", path, headers=staff).status_code in (400, 404)


def test_a_log_in_leaves_its_day_and_nothing_more(shop: Stack) -> None:
    shop.rows("UPDATE users SET last_active_on = '2000-01-01' WHERE id = 74")
    shop.sign_in(73)
    today = "SELECT 1 FROM users WHERE id = 74 AND last_active_on = current_date"
    until(lambda: shop.rows(today), "the day", 5)


def test_the_monitor_reads_what_its_queries_need_and_nothing_else(shop: Stack) -> None:
    url = shop.settings.database_url("storewatch_monitor", "MONITOR_DB_PASSWORD", target="primary")
    with psycopg.connect(url, autocommit=True) as connection:
        allowed = connection.execute(
            "SELECT table_name, column_name FROM information_schema.column_privileges"
            " WHERE table_schema = 'public' AND grantee = 'storewatch_monitor'"
            " AND table_name IN ('users', 'shipments', 'order_lines', 'audit_events')"
        ).fetchall()
        assert set(allowed) == {("users", n) for n in ("id", "created_at", "last_active_on")}
        writes = connection.execute(
            "SELECT table_name, privilege_type FROM information_schema.table_privileges"
            " WHERE grantee = 'storewatch_monitor' AND privilege_type <> 'SELECT'"
        ).fetchall()
        assert writes == []
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TEMPORARY TABLE t (x int)")


def test_the_shop_makes_the_monitoring_role_as_storewatch_ships_it() -> None:
    shipped = DEMO.parents[1] / "monitors" / "sql" / "monitoring_role.sql"
    assert (DEMO / "monitoring_role.sql").read_text() == shipped.read_text()
