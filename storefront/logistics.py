"""Logistics centre: ships what is paid, delivers what is shipped, puts back what nobody pays."""

from storefront.database import Connection, Database
from storefront.orders import cancel
from storefront.settings import Limits

_BATCH = 50


class Logistics:
    """Moves orders on, in batches that several workers can share (FOR UPDATE SKIP LOCKED)."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def ship(self) -> int:
        """Ship orders that were paid a while ago and return how many."""

        async def work(connection: Connection) -> int:
            cursor = await connection.execute(
                "WITH due AS (SELECT id FROM orders WHERE state = 'paid'"
                " AND paid_at < now() - make_interval(secs => %s)"
                " ORDER BY paid_at LIMIT %s FOR UPDATE SKIP LOCKED),"
                " shipped AS (UPDATE orders o SET state = 'shipped', shipped_at = now()"
                " FROM due WHERE o.id = due.id RETURNING o.id)"
                " INSERT INTO shipments (order_id) SELECT id FROM shipped"
                " ON CONFLICT DO NOTHING",
                (self._limits.ship_after_s, _BATCH),
            )
            return cursor.rowcount

        return await self._database.write(work)

    async def deliver(self) -> int:
        """Mark orders as delivered that were shipped a while ago and return how many."""

        async def work(connection: Connection) -> int:
            cursor = await connection.execute(
                "UPDATE orders SET state = 'delivered', delivered_at = now() WHERE id IN ("
                "SELECT id FROM orders WHERE state = 'shipped'"
                " AND shipped_at < now() - make_interval(secs => %s)"
                " ORDER BY shipped_at LIMIT %s FOR UPDATE SKIP LOCKED)",
                (self._limits.deliver_after_s, _BATCH),
            )
            return cursor.rowcount

        return await self._database.write(work)

    async def cancel_abandoned(self) -> int:
        """Cancel orders whose payment failed and was not tried again; return how many."""

        async def work(connection: Connection) -> int:
            cursor = await connection.execute(
                "SELECT o.id::text AS id FROM orders o WHERE o.state = 'placed'"
                " AND o.created_at < now() - make_interval(secs => %s) AND NOT EXISTS ("
                "SELECT 1 FROM payments p WHERE p.order_id = o.id"
                " AND (p.state IN ('pending', 'unknown', 'captured')"
                " OR p.updated_at > now() - make_interval(secs => %s)))"
                " ORDER BY o.created_at LIMIT %s FOR UPDATE SKIP LOCKED",
                (self._limits.abandon_after_s, self._limits.abandon_after_s, _BATCH),
            )
            orders = await cursor.fetchall()
            for order in orders:
                await cancel(connection, order["id"])
            return len(orders)

        return await self._database.write(work)
