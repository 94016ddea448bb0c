"""The shop's books, in a real PostgreSQL and at a provider, beside what a load was told."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import load_walks
import psycopg
import pytest
from load_shop import SmallShop, profile, settings_for
from pydantic import ValidationError

from loadtests.judging import settled
from loadtests.process import RunningLoad
from loadtests.settings import ReconciliationSettings
from storewatch.core.errors import LoadError


def test_planted_losses_and_double_charges_are_found_in_the_real_books(
    shop: SmallShop,
    books: dict[str, Any],
    database: str,
    start: Callable[..., RunningLoad],
) -> None:
    load = start(settings_for(shop.url), "buy", profile(20, "500ms"))
    load.wait()
    settings = ReconciliationSettings.model_validate(books)
    assert settled(load, settings, within_s=0).notes() == []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM orders WHERE id = 'order-1'")
        connection.execute(
            "INSERT INTO orders SELECT 'another', key, state, cents"
            " FROM orders WHERE id = 'order-2'"
        )
        connection.execute("UPDATE orders SET cents = 1 WHERE id = 'order-3'")
        connection.execute("UPDATE oversold SET units = 2")
    shop.captures.append(dict(shop.captures[4]))
    shop.captures.append({**shop.captures[5], "state": "voided"})
    found = settled(load, settings, within_s=0)
    assert found.lost == ("order-1",)
    assert found.duplicated == (shop.captures[2]["idempotency_key"],)
    assert found.wrong_amount == ("order-3",)
    assert found.double_charged == ("order-4",)
    assert found.oversold_units == 2
    assert found.notes()[-1] == "oversold: 2 units"


def test_books_that_settle_a_moment_later_are_no_loss(
    shop: SmallShop,
    books: dict[str, Any],
    start: Callable[..., RunningLoad],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = start(settings_for(shop.url), "buy", profile(20, "200ms"))
    load.wait()
    late = shop.captures.pop()
    looks: list[int] = []
    reconcile = RunningLoad.reconcile

    def capture_after_the_second_look(self: RunningLoad, settings: ReconciliationSettings) -> Any:
        looks.append(1)
        if len(looks) == 3:
            shop.captures.append(late)
        return reconcile(self, settings)

    monkeypatch.setattr(RunningLoad, "reconcile", capture_after_the_second_look)
    settings = ReconciliationSettings.model_validate(books)
    assert settled(load, settings).notes() == []
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": "postgresql://nobody@127.0.0.1:1/x"}, "the shop's orders cannot be read"),
        ({"orders_sql": "SELECT nothing"}, "the shop's orders cannot be read"),
        ({"orders_sql": "SELECT 1 WHERE %(since)s > '2000-01-01'::timestamptz"}, "must return"),
        ({"oversold_sql": "SELECT sum(units) FROM oversold WHERE false"}, "one number"),
        ({"oversold_sql": "SELECT units FROM oversold WHERE false"}, "one number"),
        ({"payment_ledgers": {"alpha": "http://127.0.0.1:9/"}}, "provider alpha cannot be read"),
        ({"payment_ledgers": "broken"}, "provider beta cannot be read"),
    ],
)
def test_books_that_cannot_be_read_are_an_error_and_no_pass(
    shop: SmallShop,
    books: dict[str, Any],
    start: Callable[..., RunningLoad],
    change: dict[str, Any],
    said: str,
) -> None:
    load = start(
        settings_for(shop.url).model_copy(update={"journeys": {"x": "a:b"}}), "x", profile(1, "1s")
    )
    load.kill()
    if change == {"payment_ledgers": "broken"}:
        change = {"payment_ledgers": {"alpha": f"{shop.url}/ledger", "beta": f"{shop.url}/beta"}}
    with pytest.raises(LoadError, match=said):
        load.reconcile(ReconciliationSettings.model_validate({**books, **change}))


def test_one_function_of_the_shop_takes_the_place_of_queries_and_ledgers(
    shop: SmallShop, start: Callable[..., RunningLoad], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it reads the memory of the shop, which lost one order and charged another twice."""
    asked: list[datetime] = []

    def read(since: datetime) -> dict[str, Any]:
        asked.append(since)
        orders = [{**order, "state": "paid"} for order in shop.orders.values()]
        paid = [{**one, "provider": "alpha"} for one in [*shop.captures, shop.captures[4]]]
        return {"orders": orders[:1] + orders[2:], "captures": paid, "oversold_units": 3}

    monkeypatch.setattr(load_walks, "read_books", read, raising=False)
    settings = ReconciliationSettings(function="load_walks:read_books")
    load = start(settings_for(shop.url), "buy", profile(20, "500ms"))
    load.wait()
    found = load.reconcile(settings)
    assert asked[0] < load.started_at
    assert found.lost == ("order-1",)
    assert found.double_charged == ("order-4",)
    assert (found.duplicated, found.wrong_amount, found.oversold_units) == ((), (), 3)
    monkeypatch.setattr(load_walks, "read_books", lambda _since: {"orders": []}, raising=False)
    with pytest.raises(LoadError, match=r"load_walks:read_books failed: KeyError: 'captures'; it"):
        load.reconcile(settings)


def test_three_queries_are_enough_for_a_shop_whose_providers_have_no_ledger(
    shop: SmallShop, books: dict[str, Any], start: Callable[..., RunningLoad]
) -> None:
    load = start(settings_for(shop.url), "buy", profile(20, "500ms"))
    load.wait()
    queries = {name: books[name] for name in ("database", "orders_sql", "oversold_sql")}
    captures = (
        "SELECT 'alpha', id, cents FROM orders,"
        " generate_series(1, CASE WHEN id = 'order-3' THEN 2 ELSE 1 END)"
        " WHERE created_at >= %(since)s AND id <> 'order-2'"
    )
    settings = ReconciliationSettings.model_validate({**queries, "captures_sql": captures})
    found = load.reconcile(settings)
    assert (found.lost, found.double_charged) == (("order-2",), ("order-3",))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "write database, orders_sql, oversold_sql, or a function such as"),
        ({"database": "x", "orders_sql": "x", "oversold_sql": "x"}, "captures_sql or payment_led"),
        ({"function": "a:b", "database": "x"}, "function replaces database, queries"),
        ({"function": "a:b", "payment_ledgers": {"alpha": "http://x"}}, "function replaces"),
    ],
)
def test_books_that_could_not_be_read_are_refused_before_any_load(
    written: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        ReconciliationSettings.model_validate(written)
