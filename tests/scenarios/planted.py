"""Bugs that a shop can have while every answer is a 200."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests

_PROVIDERS = {"alpha": "http://127.0.0.1:28084", "beta": "http://127.0.0.1:28085"}


def secrets_of(home: Path) -> dict[str, str]:
    """Return the generated secrets of a stack by name."""
    lines = (home / "secrets.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def database(home: Path) -> psycopg.Connection[Any]:
    """Return a connection to the primary, as its superuser."""
    password = secrets_of(home)["POSTGRES_PASSWORD"]
    url = f"postgresql://postgres:{password}@127.0.0.1:28432,127.0.0.1:28433/shop"
    return psycopg.connect(f"{url}?target_session_attrs=primary", autocommit=True)


@contextmanager
def oversell(home: Path) -> Iterator[None]:
    """Sell without taking from the stock."""
    with database(home) as shop:
        shop.execute(
            "CREATE FUNCTION forget_stock() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.stock := OLD.stock; RETURN NEW; END $$;"
            "CREATE TRIGGER forget_stock BEFORE UPDATE OF stock ON products"
            " FOR EACH ROW EXECUTE FUNCTION forget_stock()"
        )
        try:
            yield
        finally:
            shop.execute(
                "DROP TRIGGER forget_stock ON products; DROP FUNCTION forget_stock;"
                "UPDATE products p SET stock = initial_stock - coalesce((SELECT sum(l.quantity)"
                " FROM order_lines l JOIN orders o ON o.id = l.order_id"
                " WHERE l.product_id = p.id AND NOT o.restocked), 0)"
            )


@contextmanager
def double_charge(home: Path) -> Iterator[None]:
    """Capture a paid order once more, at the other provider and under another key."""
    token = secrets_of(home)["PAYMENT_API_KEY"]

    def charge(shop: psycopg.Connection[Any]) -> None:
        for order_id, provider, cents in shop.execute(
            "SELECT id::text, provider, total_cents FROM orders WHERE state <> 'placed'"
            " ORDER BY created_at DESC LIMIT 1"
        ):
            other = next(url for name, url in _PROVIDERS.items() if name != provider)
            requests.post(
                f"{other}/captures",
                json={"order_id": order_id, "amount_cents": cents},
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": f"2-{order_id}"},
                timeout=5,
            ).raise_for_status()

    with _again_and_again(home, charge):
        yield


@contextmanager
def lost_order(home: Path) -> Iterator[None]:
    """Delete orders that were paid a moment ago, as a clean-up job gone wrong does."""

    def delete(shop: psycopg.Connection[Any]) -> None:
        shop.execute(
            "SET session_replication_role = replica;"
            "WITH gone AS (DELETE FROM orders WHERE id IN (SELECT id FROM orders"
            " WHERE state = 'paid' AND paid_at < now() - interval '2 s'"
            " ORDER BY created_at DESC LIMIT 1) RETURNING id),"
            " a AS (DELETE FROM payments WHERE order_id IN (SELECT id FROM gone)),"
            " b AS (DELETE FROM shipments WHERE order_id IN (SELECT id FROM gone)),"
            " c AS (DELETE FROM order_lines WHERE order_id IN (SELECT id FROM gone)"
            " RETURNING product_id, quantity)"
            " UPDATE products p SET stock = stock + c.quantity FROM c WHERE c.product_id = p.id"
        )

    with _again_and_again(home, delete):
        yield


@contextmanager
def _again_and_again(home: Path, work: Any) -> Iterator[None]:
    """Do something every half second, in a connection of its own, until the block ends."""
    over = threading.Event()
    failed: list[Exception] = []

    def go_on() -> None:
        try:
            with database(home) as shop:
                while not over.wait(0.5):
                    work(shop)
        except Exception as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)
    assert failed == []
