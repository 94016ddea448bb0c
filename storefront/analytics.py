"""Analytics centre: visits, views and add-to-cart, counted by kind and product, never by person.

Of a person only the day of the last log-in is kept, for the number of active shoppers.

Events are kept in memory and written once a second without waiting for the disk: a crash loses a
second of them. Orders are counted in the transaction that pays them and lose nothing.
"""

import asyncio
from contextlib import suppress

from storefront.database import Connection, Database
from storefront.errors import UnavailableError

_FLUSH_S = 1.0
_MOST_WAITING = 20_000


class Analytics:
    """Collects events and writes them in batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[str, int | None]] = []
        self._active: set[int] = set()

    def record(self, kind: str, product_id: int | None = None) -> None:
        """Remember a visit, view or add_to_cart; beyond the limit it is dropped."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((kind, product_id))

    def signed_in(self, user_id: int) -> None:
        """Remember that a shopper is active today."""
        if len(self._active) < _MOST_WAITING:
            self._active.add(user_id)

    async def flush_forever(self) -> None:
        """Write what has come together, once a second, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            with suppress(UnavailableError):
                await self.flush()

    async def flush(self) -> None:
        """Write what has come together.

        Raises:
            UnavailableError: the database does not answer; the events are kept for the next time.
        """
        batch, self._waiting = self._waiting, []
        active, self._active = self._active, set()
        if not batch and not active:
            return

        async def work(connection: Connection) -> None:
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                "INSERT INTO events (kind, product_id)"
                " SELECT * FROM unnest(%s::text[], %s::bigint[])",
                ([kind for kind, _ in batch], [product for _, product in batch]),
            )
            await connection.execute(
                "WITH due AS (SELECT id FROM users WHERE id = ANY(%s)"
                " AND last_active_on IS DISTINCT FROM current_date"
                " FOR NO KEY UPDATE SKIP LOCKED)"
                " UPDATE users u SET last_active_on = current_date FROM due WHERE u.id = due.id",
                (list(active),),
            )

        try:
            await self._database.write(work)
        except UnavailableError:
            self._waiting = batch[: _MOST_WAITING - len(self._waiting)] + self._waiting
            self._active |= active
            raise
