"""Checkout: from a cart to a paid order, whatever dies in between.

1. One transaction takes the stock, writes the order (under the shopper's key) and claims a payment
   attempt. It is on both database nodes before the provider hears of it.
2. The provider captures under the attempt's key, or does not answer: then the attempt is unknown.
3. One transaction keeps the outcome. Only after its commit the order is acknowledged.

A process killed between two steps leaves an open attempt. Sending the same checkout again takes it
over under the same key, else the worker settles it; neither can charge twice.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from storefront.database import Connection, Database
from storefront.errors import (
    ConflictError,
    PaymentFailedError,
    PaymentUnknownError,
    UnavailableError,
)
from storefront.orders import Carts, find_by_key, place
from storefront.payments import Claim, claim_again, keep_outcome, one, open_attempt
from storefront.provider_client import Outcome, ProviderClient
from storefront.settings import Limits
from storefront.users import Session

_POLL_S = 0.15


@dataclass(frozen=True, slots=True)
class Paid:
    """The order is paid, and the commit that says so is on both nodes."""

    order_id: str
    amount_cents: int


class _Twin(Exception):
    """Somebody placed an order under the same key at the same moment."""


class Checkout:
    """Runs checkouts; safe to call any number of times with one key."""

    def __init__(
        self, database: Database, providers: ProviderClient, carts: Carts, limits: Limits
    ) -> None:
        self._database = database
        self._providers = providers
        self._carts = carts
        self._limits = limits

    async def run(self, session: Session, user_id: int, key: str) -> Paid:
        """Place and pay what is in the cart, or bring an earlier run with the key to its end.

        Args:
            session: whose cart.
            user_id: who pays.
            key: the shopper's idempotency key.

        Raises:
            ConflictError: nothing to order, not enough stock, or the order was cancelled.
            PaymentFailedError: nothing was captured; the same key may try again.
            PaymentUnknownError: the provider did not answer; the worker settles it.
            UnavailableError: the database or the cart store does not answer.
        """
        cart = await self._carts.lines(session)
        step = await self._claim(user_id, key, cart)
        if isinstance(step, Claim):
            step = await self._pay(step)
        with suppress(UnavailableError):  # the order is paid; a cart left over does no harm
            await self._carts.clear(session)
        return step

    async def _claim(self, user_id: int, key: str, cart: dict[int, int]) -> Claim | Paid:
        """Get the right to ask the provider; while another process has it, wait for its end."""
        deadline = time.monotonic() + self._limits.lease_s + 1.0

        async def work(connection: Connection) -> Claim | Paid | None:
            return await self._place_or_resume(connection, user_id, key, cart)

        while True:
            try:
                step = await self._database.write(work)
            except _Twin:
                continue
            if step is not None:
                return step
            if time.monotonic() > deadline:
                raise PaymentUnknownError("the payment of this order is being checked")
            await asyncio.sleep(_POLL_S)

    async def _place_or_resume(
        self, connection: Connection, user_id: int, key: str, cart: dict[int, int]
    ) -> Claim | Paid | None:
        order = await find_by_key(connection, key)
        if order is None:
            placed = await place(connection, user_id, key, cart)
            if placed is None:
                raise _Twin
            return await open_attempt(connection, *placed, self._limits.lease_s)
        if order["user_id"] != user_id:
            raise ConflictError("this idempotency key belongs to another shopper")
        if order["state"] in ("cancelled", "refunded"):
            raise ConflictError(f"this order was {order['state']}; order again with a new key")
        if order["state"] != "placed":
            # A write whose commit waits for the standby: what we say next, both nodes know.
            await connection.execute(
                "UPDATE orders SET paid_at = paid_at WHERE id = %s", (order["id"],)
            )
            return Paid(order["id"], order["total_cents"])
        return await self._resume(connection, order["id"], order["total_cents"])

    async def _resume(self, connection: Connection, order_id: str, cents: int) -> Claim | None:
        cursor = await connection.execute(
            "SELECT id, state, claimed_until > clock_timestamp() AS held FROM payments"
            " WHERE order_id = %s ORDER BY attempt DESC LIMIT 1 FOR UPDATE",
            (order_id,),
        )
        payment = one(await cursor.fetchall())
        if payment["state"] in ("failed", "voided"):
            return await open_attempt(connection, order_id, cents, self._limits.lease_s)
        if payment["held"]:
            return None
        return await claim_again(connection, payment["id"], self._limits.lease_s)

    async def _pay(self, claim: Claim) -> Paid:
        outcome = await self._providers.capture(
            claim.provider, claim.key, claim.order_id, claim.amount_cents
        )
        state = await self.keep(claim, outcome)
        if state == "captured":
            return Paid(claim.order_id, claim.amount_cents)
        if state == "failed":
            raise PaymentFailedError("the payment was declined; nothing was charged, try again")
        if state == "voided":
            raise ConflictError("this order was cancelled; order again with a new key")
        raise PaymentUnknownError("the payment provider did not answer; we are checking")

    async def keep(self, claim: Claim, outcome: Outcome) -> str:
        """Keep an outcome and return the attempt's state.

        Raises:
            UnavailableError: it could not be committed on both nodes.
        """

        async def work(connection: Connection) -> Any:
            return await keep_outcome(connection, claim, outcome)

        return str(await self._database.write(work))
