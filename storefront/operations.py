"""What the shop's staff may do over the API: switch the payment provider, refund an order."""

from storefront.database import Connection, Database, Row
from storefront.errors import ConflictError, NotFoundError, PaymentUnknownError
from storefront.orders import restock
from storefront.payments import active_provider, switch_provider
from storefront.provider_client import Outcome, ProviderClient
from storefront.security import record_audit

_REFUNDABLE = ("paid", "shipped", "delivered")


class Operations:
    """Each change is an audit event in the same transaction."""

    def __init__(self, database: Database, providers: ProviderClient) -> None:
        self._database = database
        self._providers = providers

    async def provider(self) -> str:
        """Return the provider of new payments."""
        return await self._database.write(active_provider)

    async def use_provider(self, provider: str) -> str:
        """Send new payments to another provider and return its name.

        Raises:
            InvalidRequestError: there is no such provider.
        """

        async def work(connection: Connection) -> None:
            await switch_provider(connection, provider)

        await self._database.write(work)
        return provider

    async def refund(self, order_id: str) -> None:
        """Give an order's money back; goods that have not left go back to the stock.

        The provider is asked first and answers the same when it is asked again, so a crash in
        between is mended by the next call.

        Raises:
            NotFoundError: there is no such order.
            ConflictError: it was not paid.
            PaymentUnknownError: the provider did not confirm; call again.
        """
        rows = await self._database.read_primary(
            "SELECT o.state, p.provider, p.idempotency_key FROM orders o"
            " LEFT JOIN payments p ON p.order_id = o.id AND p.state = 'captured' WHERE o.id = %s",
            (order_id,),
        )
        if not rows:
            raise NotFoundError("there is no such order")
        order = rows[0]
        if order["state"] == "refunded":
            return
        if order["state"] not in _REFUNDABLE:
            raise ConflictError(f"the order is {order['state']}; only a paid one can be refunded")
        outcome = await self._providers.refund(order["provider"], order["idempotency_key"])
        if outcome is not Outcome.REFUNDED:
            raise PaymentUnknownError("the provider did not confirm the refund; call again")

        async def work(connection: Connection) -> None:
            await _keep_refund(connection, order_id)

        await self._database.write(work)


async def _keep_refund(connection: Connection, order_id: str) -> None:
    cursor = await connection.execute(
        "SELECT state FROM orders WHERE id = %s FOR UPDATE", (order_id,)
    )
    row: Row | None = await cursor.fetchone()
    if row is None or row["state"] == "refunded":
        return
    await connection.execute(
        "UPDATE orders SET state = 'refunded', refunded_at = now() WHERE id = %s", (order_id,)
    )
    await connection.execute(
        "UPDATE payments SET state = 'refunded', updated_at = now()"
        " WHERE order_id = %s AND state = 'captured'",
        (order_id,),
    )
    if row["state"] == "paid":
        await restock(connection, order_id)
    await record_audit(connection, "order_refunded", f"order:{order_id}")
