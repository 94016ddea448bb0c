"""Payments that fail, hang and come late: never two charges, never a lost order."""

import threading
import time
import uuid

import pytest
import requests
from shop_stack import Stack, until

from storefront.payments import next_state
from storefront.provider_client import Outcome

PAYMENT = (
    "SELECT p.state, p.provider, o.state AS order_state, o.id::text AS order_id, p.idempotency_key"
    " FROM payments p JOIN orders o ON o.id = p.order_id WHERE o.idempotency_key = %s"
    " ORDER BY p.attempt"
)


def new_key() -> str:
    return f"test-{uuid.uuid4().hex}"


def stock_of(shop: Stack, product_id: int) -> int:
    return int(shop.rows("SELECT stock FROM products WHERE id = %s", product_id)[0]["stock"])


def test_a_capture_that_comes_late_leaves_unknown_and_is_settled_as_paid(shop: Stack) -> None:
    shop.switch("alpha", "slow", delay_s=2)
    headers, key = shop.sign_in(100), new_key()
    shop.fill_cart(headers, 100)
    started = time.monotonic()
    answer = shop.check_out(headers, key)
    assert answer.status_code == 504
    assert time.monotonic() - started < 4
    payment = until(
        lambda: [row for row in shop.rows(PAYMENT, key) if row["state"] == "captured"],
        "the settlement",
    )[0]
    assert payment["order_state"] == "paid"
    assert len(shop.captures(payment["order_id"])) == 1
    assert shop.check_out(headers, key).json()["order_id"] == payment["order_id"]


def test_no_second_provider_is_tried_while_the_first_is_unknown(shop: Stack) -> None:
    shop.switch("alpha", "hang")
    headers, key = shop.sign_in(101), new_key()
    shop.fill_cart(headers, 101)
    assert shop.check_out(headers, key).status_code == 504
    shop.use_provider("beta")
    assert shop.check_out(headers, key).status_code == 504
    assert [(row["state"], row["provider"]) for row in shop.rows(PAYMENT, key)] == [
        ("unknown", "alpha")
    ]
    # The shop sells on with the other provider, though.
    assert shop.buy(102, 102).status_code == 201
    shop.switch("alpha", "ok")
    until(lambda: shop.order_state(key) in ("paid", "cancelled"), "the settlement")
    row = shop.rows(PAYMENT, key)[-1]
    assert len(shop.captures(row["order_id"])) == (1 if row["order_state"] == "paid" else 0)


def test_a_capture_that_never_happened_is_voided_and_its_late_copy_refused(shop: Stack) -> None:
    before = stock_of(shop, 103)
    shop.switch("alpha", "hang")
    headers, key = shop.sign_in(103), new_key()
    shop.fill_cart(headers, 103)
    assert shop.check_out(headers, key).status_code == 504
    assert stock_of(shop, 103) == before - 1
    shop.kill("pay-alpha")  # what hung there is gone: nothing was captured
    shop.start("pay-alpha")
    until(lambda: shop.order_state(key) == "cancelled", "the cancellation")
    payment = shop.rows(PAYMENT, key)[0]
    assert payment["state"] == "voided"
    assert stock_of(shop, 103) == before
    late = shop.provider(
        "alpha",
        "POST",
        "/captures",
        json={"order_id": payment["order_id"], "amount_cents": 1},
        headers={"Idempotency-Key": payment["idempotency_key"]},
    )
    assert (late.status_code, late.json()["state"]) == (409, "voided")
    assert shop.check_out(headers, key).status_code == 409


def test_a_checkout_whose_instance_was_killed_is_settled_by_the_worker(shop: Stack) -> None:
    shop.switch("alpha", "hang")
    headers, key = shop.sign_in(104), new_key()
    shop.fill_cart(headers, 104)

    def send() -> None:
        sent = {**headers, "Idempotency-Key": key}
        with pytest.raises(requests.RequestException):
            shop.direct("app-1", "POST", "/api/checkout", headers=sent)

    caller = threading.Thread(target=send)
    caller.start()
    until(lambda: shop.provider("alpha", "GET", "/switch").json()["held"], "the capture")
    shop.kill("app-1")
    caller.join()
    assert [row["state"] for row in shop.rows(PAYMENT, key)] == ["pending"]
    shop.switch("alpha", "ok")  # the capture that was under way arrives now
    until(lambda: shop.order_state(key) == "paid", "the settlement")
    shop.start("app-1")
    assert len(shop.captures(shop.rows(PAYMENT, key)[0]["order_id"])) == 1


def test_a_declined_payment_may_be_tried_again_under_the_same_key(shop: Stack) -> None:
    shop.switch("alpha", "error")
    headers, key = shop.sign_in(105), new_key()
    shop.fill_cart(headers, 105)
    assert shop.check_out(headers, key).status_code == 502
    shop.use_provider("beta")
    paid = shop.check_out(headers, key)
    assert paid.status_code == 201
    rows = shop.rows(PAYMENT, key)
    assert [(row["state"], row["provider"]) for row in rows] == [
        ("failed", "alpha"),
        ("captured", "beta"),
    ]
    assert len(shop.captures(paid.json()["order_id"])) == 1


def test_a_declined_order_that_nobody_tries_again_gives_its_stock_back(shop: Stack) -> None:
    before = stock_of(shop, 106)
    shop.switch("alpha", "error")
    headers, key = shop.sign_in(106), new_key()
    shop.fill_cart(headers, 106)
    assert shop.check_out(headers, key).status_code == 502
    until(lambda: shop.order_state(key) == "cancelled", "the cancellation")
    assert stock_of(shop, 106) == before


def test_a_provider_that_is_not_there_fails_at_once_and_the_other_takes_over(shop: Stack) -> None:
    shop.stop("pay-alpha")
    headers, key = shop.sign_in(107), new_key()
    shop.fill_cart(headers, 107)
    started = time.monotonic()
    assert shop.check_out(headers, key).status_code == 502
    assert time.monotonic() - started < 1
    shop.use_provider("beta")
    assert shop.check_out(headers, key).status_code == 201
    shop.start("pay-alpha")
    until(lambda: "alpha" in _health(shop), "the provider")


def _health(shop: Stack) -> str:
    try:
        return shop.provider("alpha", "GET", "/health").text
    except OSError:
        return ""


def test_an_answer_without_a_state_is_unknown_not_failed(shop: Stack) -> None:
    shop.switch("alpha", "down")
    headers, key = shop.sign_in(108), new_key()
    shop.fill_cart(headers, 108)
    assert shop.check_out(headers, key).status_code == 504
    assert shop.rows(PAYMENT, key)[0]["state"] in ("unknown", "pending")
    shop.switch("alpha", "ok")
    until(lambda: shop.order_state(key) == "cancelled", "the settlement")


def test_the_ledger_keeps_its_word_over_a_restart(shop: Stack) -> None:
    order = shop.buy(109, 109).json()
    shop.kill("pay-alpha")
    shop.start("pay-alpha")
    until(lambda: "alpha" in _health(shop), "the provider")
    assert len(shop.captures(order["order_id"])) == 1
    capture = shop.captures(order["order_id"])[0]
    answer = shop.provider(
        "alpha",
        "POST",
        "/captures",
        json={"order_id": order["order_id"], "amount_cents": order["amount_cents"] + 1},
        headers={"Idempotency-Key": capture["idempotency_key"]},
    )
    assert answer.status_code == 422


def test_a_provider_tells_strangers_nothing_and_refuses_unknown_modes(shop: Stack) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    assert shop.provider("alpha", "GET", "/ledger", headers=wrong).status_code == 401
    assert shop.provider("alpha", "PUT", "/switch", json={"mode": "odd"}).status_code == 400
    assert shop.provider("alpha", "GET", "/switch").json()["mode"] == "ok"


def test_the_switch_of_the_provider_is_for_staff_and_is_audited(shop: Stack) -> None:
    path = "/api/admin/payment-provider"
    assert shop.call("PUT", path, json={"provider": "beta"}).status_code == 403
    shop.use_provider("beta")
    last = shop.rows("SELECT kind, subject FROM audit_events ORDER BY id DESC LIMIT 1")
    assert last == [{"kind": "payment_provider_switched", "subject": "provider:beta"}]
    staff = {"Authorization": f"Bearer {shop.environment['SHOP_ADMIN_TOKEN']}"}
    assert shop.call("GET", path, headers=staff).json() == {"provider": "beta"}
    assert shop.call("PUT", path, json={"provider": "x"}, headers=staff).status_code == 400


@pytest.mark.parametrize(
    ("state", "outcome", "claim", "newest", "expected"),
    [
        ("pending", Outcome.CAPTURED, 1, 1, "captured"),
        ("pending", Outcome.CAPTURED, 1, 3, "captured"),
        ("unknown", Outcome.VOIDED, 1, 2, "voided"),
        ("pending", Outcome.FAILED, 1, 1, "failed"),
        ("pending", Outcome.FAILED, 1, 2, "pending"),
        ("pending", Outcome.NOT_SENT, 1, 1, "failed"),
        ("pending", Outcome.NOT_SENT, 2, 2, "unknown"),
        ("pending", Outcome.UNKNOWN, 1, 1, "unknown"),
        ("unknown", Outcome.ABSENT, 2, 2, "unknown"),
        ("voided", Outcome.CAPTURED, 1, 1, "voided"),
        ("captured", Outcome.UNKNOWN, 1, 1, "captured"),
        ("refunded", Outcome.CAPTURED, 2, 2, "refunded"),
    ],
)
def test_a_late_answer_never_overrules_a_newer_claim(
    state: str, outcome: Outcome, claim: int, newest: int, expected: str
) -> None:
    assert next_state(state, outcome, claim, newest) == expected
