"""The reconciliation: every order that the shop has acknowledged must be there, once, paid once."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.books import Books, ShopOrder
from storewatch.core import names
from storewatch.core.errors import LoadError
from storewatch.core.evidence import Measurement
from storewatch.core.targets import Target

NONE_ALLOWED = Target("=", 0)
_PAID_BACK = "refunded"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What became of the acknowledged orders; each list names orders or keys, for the report."""

    acknowledged: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    double_charged: tuple[str, ...]
    wrong_amount: tuple[str, ...]
    oversold_units: int

    def measurements(self) -> list[Measurement]:
        """Return the counts; none of the bad ones may be above zero."""
        counts = {
            names.ORDERS_LOST: len(self.lost),
            names.ORDERS_DUPLICATED: len(self.duplicated),
            names.DOUBLE_CHARGES: len(self.double_charged),
            "wrong_amounts": len(self.wrong_amount),
        }
        return [
            Measurement(names.ORDERS_ACKNOWLEDGED, self.acknowledged, "orders"),
            *(Measurement(name, n, "orders", NONE_ALLOWED) for name, n in counts.items()),
            Measurement(names.OVERSOLD_UNITS, self.oversold_units, "units", NONE_ALLOWED),
        ]

    def notes(self) -> list[str]:
        """Name what went wrong, at most five of each kind."""
        kinds = {
            "lost": self.lost,
            "duplicated": self.duplicated,
            "charged twice": self.double_charged,
            "wrong amount": self.wrong_amount,
        }
        named = [f"{kind}: {', '.join(found[:5])}" for kind, found in kinds.items() if found]
        return named + ([f"oversold: {self.oversold_units} units"] if self.oversold_units else [])


def reconcile(
    attempts: Collection[str],
    acknowledged: Iterable[Mapping[str, Any]],
    books: Books,
    accepted_states: Collection[str],
) -> Reconciliation:
    """Compare the client's ledger with the shop's books.

    Args:
        attempts: idempotency keys that were sent, acknowledged or not.
        acknowledged: orders with order_id, idempotency_key and amount_cents.
        books: orders and captured payments of that time.
        accepted_states: the states that an acknowledged order may be in.

    An acknowledged order is lost when the database lacks it, has it in another state, or no
    provider captured it (a refunded one needs no capture any more). A key with two orders is
    duplicated; an order with two captures, at one provider or at two, is charged twice. An amount
    is wrong when the database or a capture has another than the shopper was told.
    """
    captured: defaultdict[str, list[int]] = defaultdict(list)
    for capture in books.captures:
        captured[capture.order_id].append(capture.amount_cents)
    kept = {str(order["order_id"]): order for order in acknowledged}
    lost, wrong = _lost_and_wrong(kept, books.orders, captured, accepted_states)
    placed = Counter(order.idempotency_key for order in books.orders)
    told = Counter(str(order["idempotency_key"]) for order in kept.values())
    keys = {**dict.fromkeys(attempts), **told}
    return Reconciliation(
        acknowledged=len(kept),
        lost=tuple(lost),
        duplicated=tuple(key for key in keys if max(placed[key], told[key]) > 1),
        double_charged=tuple(
            identifier for identifier, cents in captured.items() if len(cents) > 1
        ),
        wrong_amount=tuple(wrong),
        oversold_units=books.oversold_units,
    )


def _lost_and_wrong(
    acknowledged: Mapping[str, Mapping[str, Any]],
    orders: Iterable[ShopOrder],
    captured: Mapping[str, list[int]],
    accepted_states: Collection[str],
) -> tuple[list[str], list[str]]:
    by_id = {order.order_id: order for order in orders}
    lost, wrong = [], []
    for identifier, order in acknowledged.items():
        found, amounts = by_id.get(identifier), captured.get(identifier, [])
        paid = found is not None and (amounts or found.state == _PAID_BACK)
        if found is None or found.state not in accepted_states or not paid:
            lost.append(identifier)
        elif {found.amount_cents, *amounts} != {order["amount_cents"]}:
            wrong.append(identifier)
    return lost, wrong


def read_ledger(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the attempted idempotency keys and the acknowledged orders of a ledger file.

    A last line cut off by a crash is left out: what it would have said was not written down.

    Raises:
        LoadError: another line is broken; orders would go missing unseen.
    """
    attempts, orders = [], []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is cut off
        try:
            record = json.loads(line)
            if "attempt" in record:
                attempts.append(record["attempt"])
            else:
                orders.append(record["order"])
        except (ValueError, KeyError, TypeError) as error:
            raise LoadError(
                f"{path}: line {number} is broken, the orders cannot be accounted for: {error}"
            ) from error
    return attempts, orders
