"""Checkout against real databases, providers and instances, through the edge."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from shop_stack import Stack, until


def test_a_checkout_is_acknowledged_as_paid_with_the_price_of_the_product(shop: Stack) -> None:
    product = shop.call("GET", "/api/products/10").json()
    headers = shop.sign_in(1)
    shop.fill_cart(headers, 10, quantity=3)
    answer = shop.check_out(headers)
    assert answer.status_code == 201
    order = answer.json()
    assert (order["state"], order["amount_cents"]) == ("paid", 3 * product["price_cents"])
    assert [c["amount_cents"] for c in shop.captures(order["order_id"])] == [order["amount_cents"]]
    assert shop.call("GET", "/api/cart", headers=headers).json() == {"lines": []}


def test_an_acknowledged_order_is_on_both_nodes(shop: Stack) -> None:
    order_id = shop.buy(2, 11).json()["order_id"]
    for name in ("db-a", "db-b"):
        with shop.node(name) as connection:
            # The standby has it on disk at once; replay may follow a moment later.
            query = "SELECT state FROM orders WHERE id = %s"
            until(
                lambda c=connection, q=query: (
                    (c.execute(q, (order_id,)).fetchone() or {}).get("state") == "paid"
                ),
                f"the order on {name}",
                5,
            )


def test_the_same_key_gives_the_same_order_and_one_charge(shop: Stack) -> None:
    headers, key = shop.sign_in(3), f"test-{uuid.uuid4().hex}"
    shop.fill_cart(headers, 12)
    first = shop.check_out(headers, key)
    shop.fill_cart(headers, 13)
    second = shop.check_out(headers, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(shop.captures(first.json()["order_id"])) == 1


def test_one_key_sent_many_times_at_once_is_one_order_and_one_charge(shop: Stack) -> None:
    headers, key = shop.sign_in(4), f"test-{uuid.uuid4().hex}"
    shop.fill_cart(headers, 14)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.check_out(headers, key), range(8)))
    paid = [answer.json() for answer in answers if answer.status_code == 201]
    assert paid
    assert len({order["order_id"] for order in paid}) == 1
    assert len(shop.captures(paid[0]["order_id"])) == 1
    assert {answer.status_code for answer in answers} == {201}


def test_the_last_units_are_sold_once_however_many_want_them(shop: Stack) -> None:
    shop.rows(
        "UPDATE products SET stock = 3, initial_stock = initial_stock - stock + 3 WHERE id=15"
    )
    carts = [shop.sign_in(number) for number in range(20, 32)]
    for headers in carts:
        shop.fill_cart(headers, 15)
    start = threading.Barrier(len(carts))

    def check_out(headers: dict[str, str]) -> int:
        start.wait(10)
        return shop.check_out(headers).status_code

    with ThreadPoolExecutor(len(carts)) as pool:
        statuses = sorted(pool.map(check_out, carts))
    assert statuses == [201] * 3 + [409] * 9
    assert shop.rows("SELECT stock FROM products WHERE id = 15") == [{"stock": 0}]


def test_two_carts_with_the_same_products_in_any_order_do_not_deadlock(shop: Stack) -> None:
    carts = []
    for number in range(40, 48):
        headers = shop.sign_in(number)
        for product in (16, 17, 18) if number % 2 else (18, 17, 16):
            shop.fill_cart(headers, product)
        carts.append(headers)
    with ThreadPoolExecutor(len(carts)) as pool:
        statuses = list(pool.map(lambda headers: shop.check_out(headers).status_code, carts))
    assert statuses == [201] * len(carts)


def test_a_key_of_another_shopper_is_refused(shop: Stack) -> None:
    key = f"test-{uuid.uuid4().hex}"
    headers, other = shop.sign_in(5), shop.sign_in(6)
    for one in (headers, other):
        shop.fill_cart(one, 19)
    assert shop.check_out(headers, key).status_code == 201
    refused = shop.check_out(other, key)
    assert refused.status_code == 409
    assert "another shopper" in refused.json()["error"]


def test_an_empty_cart_and_a_bad_key_are_refused(shop: Stack) -> None:
    headers = shop.sign_in(7)
    assert shop.check_out(headers).status_code == 409
    assert shop.check_out(headers, "not a key").status_code == 400
    assert shop.check_out({}, "long-enough-key").status_code == 401


def test_a_refund_returns_the_money_and_the_goods_and_is_audited(shop: Stack) -> None:
    before = shop.rows("SELECT stock FROM products WHERE id = 20")
    order_id = shop.buy(8, 20).json()["order_id"]
    path = f"/api/admin/orders/{order_id}/refund"
    staff = {"Authorization": f"Bearer {shop.environment['SHOP_ADMIN_TOKEN']}"}
    assert shop.call("POST", path).status_code == 403
    for _ in range(2):
        answer = shop.call("POST", path, headers=staff)
        assert (answer.status_code, answer.json()["state"]) == (200, "refunded")
    assert shop.rows("SELECT stock FROM products WHERE id = 20") == before
    assert shop.captures(order_id) == []
    subject = f"order:{order_id}"
    audit = shop.rows("SELECT kind FROM audit_events WHERE subject = %s", subject)
    assert audit == [{"kind": "order_refunded"}]


def test_paid_orders_are_shipped_and_delivered(shop: Stack) -> None:
    order_id = shop.buy(9, 21).json()["order_id"]
    shop.rows("UPDATE orders SET paid_at = now() - interval '1 hour' WHERE id = %s", order_id)
    state = "SELECT state FROM orders WHERE id = %s"
    until(lambda: shop.rows(state, order_id)[0]["state"] == "shipped", "the shipment", 10)
    assert shop.rows("SELECT 1 AS one FROM shipments WHERE order_id = %s", order_id)
    shop.rows("UPDATE orders SET shipped_at = now() - interval '1 hour' WHERE id = %s", order_id)
    until(lambda: shop.rows(state, order_id)[0]["state"] == "delivered", "the delivery", 10)


@pytest.mark.parametrize(
    ("reason", "statement"),
    [
        ("stock_never_below_zero", "UPDATE products SET stock = -1 WHERE id = 1"),
        (
            "orders_idempotency_key_key",
            "INSERT INTO orders (user_id, idempotency_key, total_cents, provider)"
            " SELECT user_id, idempotency_key, 1, 'alpha' FROM orders WHERE id = %s",
        ),
        (
            "payments_one_",
            "INSERT INTO payments (order_id, attempt, provider, idempotency_key, state,"
            " amount_cents, claimed_until) VALUES (%s, 2, 'beta', 'k', 'captured', 1, now())",
        ),
        ("cannot go from paid to placed", "UPDATE orders SET state = 'placed' WHERE id = %s"),
    ],
)
def test_the_database_refuses_what_must_not_happen(
    shop: Stack, reason: str, statement: str
) -> None:
    order_id = shop.buy(10, 22).json()["order_id"]
    parameters = [order_id] * statement.count("%s")
    with pytest.raises(psycopg.IntegrityError, match=reason):
        shop.rows(statement, *parameters)
