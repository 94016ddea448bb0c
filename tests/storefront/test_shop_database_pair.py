"""The database pair: fail-over without a restart of the shop, and never two primaries."""

import threading
import time
import uuid
from typing import Any

import psycopg
import pytest
from node_roles import primary_and_standby, roles
from shop_stack import Stack, until


class Buyers:
    """Shoppers that buy without pause and remember what the shop acknowledged."""

    def __init__(self, shop: Stack, count: int) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused: set[str] = set()
        self._shop = shop
        self._ended = threading.Event()
        self._carts = [shop.sign_in(200 + number) for number in range(count)]
        self._threads = [threading.Thread(target=self._buy, args=(c,)) for c in self._carts]

    def __enter__(self) -> "Buyers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _buy(self, headers: dict[str, str]) -> None:
        while not self._ended.is_set():
            key = f"buyer-{uuid.uuid4().hex}"
            line = {"product_id": 150, "quantity": 1}
            if self._shop.call("POST", "/api/cart", json=line, headers=headers).status_code != 200:
                continue
            answer = self._shop.check_out(headers, key)
            if answer.status_code == 201:
                self.acknowledged[key] = answer.json()["order_id"]
            else:
                self.refused.add(key)


def test_a_killed_primary_is_replaced_without_restart_and_no_acknowledged_order_is_lost(
    shop: Stack,
) -> None:
    primary, standby = primary_and_standby(shop)
    with Buyers(shop, 4) as buyers:
        until(lambda: len(buyers.acknowledged) > 20, "some orders")
        shop.kill(primary)
        until(lambda: buyers.refused, "a refused order")
        started = time.monotonic()
        assert shop.buy_status(210, 151) == 503
        assert time.monotonic() - started < 3
        assert shop.call("GET", "/").status_code == 200, "the catalogue is read from the standby"
        assert shop.operate("promote", standby).returncode == 0
        count = len(buyers.acknowledged)
        until(lambda: len(buyers.acknowledged) > count + 10, "orders after the promotion", 10)
    rows = shop.rows("SELECT idempotency_key, state, id::text AS id FROM orders")
    kept = {row["idempotency_key"]: row for row in rows}
    for key, order_id in buyers.acknowledged.items():
        assert kept[key]["id"] == order_id
        assert kept[key]["state"] == "paid"
        assert len(shop.captures(order_id)) == 1
    until(lambda: not shop.rows("SELECT 1 FROM orders WHERE state = 'placed'"), "settlement")
    for ledger in ("alpha", "beta"):
        for entry in shop.provider(ledger, "GET", "/ledger").json():
            if entry["state"] == "captured":
                assert shop.rows("SELECT 1 FROM orders WHERE id = %s", entry["order_id"])

    shop.start(primary)
    until(lambda: roles(shop)[primary] == "standby", "the old primary as a standby", 60)
    shop.wait_synchronous()
    assert primary_and_standby(shop) == (standby, primary)
    assert shop.buy(211, 151).status_code == 201


def test_a_primary_killed_between_capture_and_commit_charges_once(shop: Stack) -> None:
    primary, standby = primary_and_standby(shop)
    shop.switch("alpha", "slow", delay_s=0.8)  # captured at once, answered later
    headers, key = shop.sign_in(212), f"test-{uuid.uuid4().hex}"
    shop.fill_cart(headers, 153)
    answers: list[int] = []
    caller = threading.Thread(
        target=lambda: answers.append(shop.check_out(headers, key).status_code)
    )
    caller.start()
    ledger = until(lambda: _captured(shop, key), "the capture", 5)
    shop.kill(primary)
    caller.join()
    assert answers == [503]
    shop.switch("alpha", "ok")
    assert shop.operate("promote", standby).returncode == 0
    done = until(lambda: _acknowledged(shop, headers, key), "the order", 10)
    assert shop.captures(done["order_id"]) == [ledger]
    assert shop.violations() == {}
    shop.start(primary)
    until(lambda: roles(shop)[primary] == "standby", "the old primary as a standby", 60)
    shop.wait_synchronous()


def _captured(shop: Stack, key: str) -> Any:
    rows = shop.rows("SELECT id::text AS id FROM orders WHERE idempotency_key = %s", key)
    captures = shop.captures(rows[0]["id"]) if rows else []
    return captures[0] if captures else None


def test_what_an_old_primary_committed_alone_does_not_come_back(shop: Stack) -> None:
    primary, standby = primary_and_standby(shop)
    shop.kill(standby)
    with shop.node(primary) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("INSERT INTO shop_settings VALUES ('only-here', %s)", (primary,))
    shop.kill(primary)
    shop.start(standby)
    until(lambda: roles(shop)[standby] == "standby", "the standby")
    assert shop.operate("promote", standby).returncode == 0
    shop.start(primary)
    until(lambda: roles(shop)[primary] == "standby", "the old primary as a standby", 60)
    shop.wait_synchronous()
    for name in (primary, standby):
        with shop.node(name) as connection:
            query = "SELECT 1 FROM shop_settings WHERE key = 'only-here'"
            assert connection.execute(query).fetchall() == []


def test_an_old_primary_that_starts_first_waits_instead_of_serving(shop: Stack) -> None:
    primary, standby = primary_and_standby(shop)
    shop.kill(primary)
    assert shop.operate("promote", standby).returncode == 0
    shop.stop(standby)
    shop.start(primary)
    refused = pytest.raises(psycopg.OperationalError)
    for _ in range(3):
        with refused:
            shop.node(primary).close()
        assert shop.processes[primary].poll() is None
    shop.start(standby)
    until(lambda: roles(shop) == {primary: "standby", standby: "primary"}, "both nodes", 60)
    shop.wait_synchronous()


def test_a_folder_whose_rewind_was_killed_is_cloned_afresh(shop: Stack) -> None:
    primary, standby = primary_and_standby(shop)
    shop.kill(primary)
    assert shop.operate("promote", standby).returncode == 0
    (shop.settings.shop / f"{primary}.rewinding").touch()
    (shop.settings.shop / primary / "PG_VERSION").unlink()
    shop.start(primary)
    until(lambda: roles(shop)[primary] == "standby", "the old primary as a standby", 60)
    shop.wait_synchronous()
    assert f"{primary}: clone the primary" in shop.log_of(primary)


def test_promotion_is_refused_while_the_other_node_may_be_the_primary(shop: Stack) -> None:
    primary, standby = primary_and_standby(shop)
    refused = shop.operate("promote", standby)
    assert refused.returncode == 1
    assert f"{primary} still answers as primary" in refused.stderr
    shop.freeze(primary)
    try:
        refused = shop.operate("promote", standby)
    finally:
        shop.thaw(primary)
    assert refused.returncode == 1
    assert f"{primary} holds its port and gives no answer" in refused.stderr
    assert primary_and_standby(shop) == (primary, standby)


def test_without_its_standby_nothing_is_acknowledged_until_an_operator_says_so(
    shop: Stack,
) -> None:
    primary, standby = primary_and_standby(shop)
    headers, key = shop.sign_in(220), f"test-{uuid.uuid4().hex}"
    shop.fill_cart(headers, 152)
    shop.stop("worker")  # which voids what nobody asks for any more: on a slow host, this order
    shop.stop(standby)
    started = time.monotonic()
    answers = [shop.check_out(headers, key).status_code for _ in range(2)]
    assert 201 not in answers
    assert time.monotonic() - started < 16
    assert shop.operate("alone").returncode == 0
    done = until(lambda: _acknowledged(shop, headers, key), "the order")
    assert len(shop.captures(done["order_id"])) == 1
    shop.start("worker")
    assert [shop.operate("status", *whole).returncode for whole in ((), ("--whole",))] == [0, 1]
    shop.start(standby)
    until(lambda: roles(shop)[standby] == "standby", "the standby")
    shop.wait_synchronous()
    assert shop.operate("status", "--whole").returncode == 0
    assert primary_and_standby(shop) == (primary, standby)


def _acknowledged(shop: Stack, headers: dict[str, str], key: str) -> Any:
    answer = shop.check_out(headers, key)
    return answer.json() if answer.status_code == 201 else None
