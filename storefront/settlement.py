"""Settling payments that nobody waits for any more: found captured, or voided for good."""

import asyncio

from storefront.checkout import Checkout
from storefront.database import Connection, Database
from storefront.log import Log
from storefront.payments import Claim, claim_from
from storefront.provider_client import Outcome, ProviderClient
from storefront.settings import Limits

_BATCH = 20


class Settlement:
    """Asks the providers about unknown attempts, and about pending ones whose caller has gone."""

    def __init__(
        self,
        database: Database,
        providers: ProviderClient,
        checkout: Checkout,
        limits: Limits,
        log: Log,
    ) -> None:
        self._database = database
        self._providers = providers
        self._checkout = checkout
        self._limits = limits
        self._log = log

    async def settle(self) -> int:
        """Settle a batch and return how many attempts are known now.

        Raises:
            UnavailableError: the database does not answer.
        """
        claims = await self._database.write(self._claim)
        states = await asyncio.gather(*(self._settle(claim) for claim in claims))
        return sum(state in ("captured", "voided", "failed") for state in states)

    async def _claim(self, connection: Connection) -> list[Claim]:
        cursor = await connection.execute(
            "UPDATE payments SET claims = claims + 1, updated_at = now(),"
            " claimed_until = clock_timestamp() + make_interval(secs => %s) WHERE id IN ("
            "SELECT id FROM payments WHERE state IN ('pending', 'unknown')"
            " AND claimed_until < clock_timestamp() - CASE state WHEN 'pending'"
            " THEN make_interval(secs => %s) ELSE interval '0' END"
            " ORDER BY claimed_until LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING *",
            (self._limits.lease_s, self._limits.settle_after_s, _BATCH),
        )
        return [claim_from(row) for row in await cursor.fetchall()]

    async def _settle(self, claim: Claim) -> str:
        """Find out and keep it; the tombstone comes first, then the order is cancelled."""
        outcome = await self._providers.look_up(claim.provider, claim.key)
        if outcome is Outcome.ABSENT:
            outcome = await self._providers.void(claim.provider, claim.key)
        if outcome not in (Outcome.CAPTURED, Outcome.VOIDED, Outcome.FAILED):
            return "unknown"
        state = await self._checkout.keep(claim, outcome)
        self._log.write(
            "payment_settled", order_id=claim.order_id, provider=claim.provider, state=state
        )
        return state
