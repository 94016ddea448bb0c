"""The shop's books: its orders, what its payment providers captured, what it sold too much of.

Read from a database and the providers' ledgers, or by a function of the shop's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import requests

from loadtests.settings import ReconciliationSettings
from storewatch.core.errors import LoadError
from storewatch.core.journey import load_function


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """An order as the shop's database has it."""

    order_id: str
    idempotency_key: str
    state: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture as a payment provider's ledger has it."""

    provider: str
    order_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Books:
    """What the shop and its providers say of the time since a moment.

    Attributes:
        orders: made since then.
        captures: captured payments of these orders; voided and refunded ones left out.
        oversold_units: units sold beyond the stock, and stock that does not add up.
    """

    orders: list[ShopOrder]
    captures: list[Capture]
    oversold_units: int


def read_books(settings: ReconciliationSettings, since: datetime) -> Books:
    """Ask the shop and the providers for what happened since a moment.

    Raises:
        LoadError: one of them does not answer; without it nothing can be said.
    """
    if settings.function:
        return _told(settings.function, since)
    orders, captures, oversold_units = _queried(settings, since)
    for provider, url in settings.payment_ledgers.items():
        captures += _captures(provider, url, settings.payment_token)
    return _of_these(orders, captures, oversold_units)


def _of_these(orders: list[ShopOrder], captures: list[Capture], oversold_units: int) -> Books:
    """Leave out the captures of other orders."""
    wanted = {order.order_id for order in orders}
    return Books(orders, [one for one in captures if one.order_id in wanted], oversold_units)


def _told(path: str, since: datetime) -> Books:
    """Ask the shop's own function, whatever that does."""
    try:
        said: Mapping[str, Any] = load_function(path)(since)
        orders = [
            ShopOrder(
                str(one["order_id"]),
                str(one["idempotency_key"]),
                str(one["state"]),
                int(one["amount_cents"]),
            )
            for one in said["orders"]
        ]
        captures = [
            Capture(str(one["provider"]), str(one["order_id"]), int(one["amount_cents"]))
            for one in said["captures"]
        ]
        return _of_these(orders, captures, int(said["oversold_units"]))
    except Exception as error:
        raise LoadError(
            f"loadtests.reconciliation.function: {path} failed: {type(error).__name__}: {error};"
            " it takes the moment since when and returns orders (order_id, idempotency_key, state,"
            " amount_cents), captures (provider, order_id, amount_cents) and oversold_units"
        ) from error


def _queried(
    settings: ReconciliationSettings, since: datetime
) -> tuple[list[ShopOrder], list[Capture], int]:
    given = {"since": since}
    captured: Iterable[tuple[Any, ...]] = ()
    try:
        with psycopg.connect(settings.database, connect_timeout=10) as connection:
            rows = connection.execute(settings.orders_sql.encode(), given).fetchall()
            oversold = connection.execute(settings.oversold_sql.encode()).fetchone()
            if settings.captures_sql:
                captured = connection.execute(settings.captures_sql.encode(), given).fetchall()
        orders = [ShopOrder(str(i), str(k), str(s), int(a)) for i, k, s, a in rows]
        captures = [Capture(str(p), str(i), int(a)) for p, i, a in captured]
        return orders, captures, int((oversold or (None,))[0])
    except psycopg.Error as error:
        raise LoadError(f"the shop's orders cannot be read: {str(error).strip()}") from error
    except (ValueError, TypeError) as error:
        raise LoadError(
            "orders_sql must return order_id, idempotency_key, state, total_cents, captures_sql"
            f" provider, order_id, amount_cents, and oversold_sql one number: {error}"
        ) from error


def _captures(provider: str, url: str, token: str) -> list[Capture]:
    try:
        response = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        response.raise_for_status()
        entries = response.json()
        return [
            Capture(provider, str(entry["order_id"]), int(entry["amount_cents"]))
            for entry in entries
            if entry["state"] == "captured"
        ]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise LoadError(f"the ledger of provider {provider} cannot be read: {error}") from error
