"""Order centre: carts in Redis, orders and their stock in the database."""

from typing import Any

from storefront.cache import answer
from storefront.database import Connection, Database, Row
from storefront.errors import ConflictError, InvalidRequestError, NotFoundError
from storefront.users import Session

MOST_UNITS = 20
_MOST_LINES = 50
_DETAILS = (
    "SELECT id::text AS order_id, idempotency_key, state, total_cents AS amount_cents, provider,"
    " created_at, paid_at, shipped_at, delivered_at FROM orders"
)


class Carts:
    """What shoppers want to buy, by session."""

    def __init__(self, cache: Any, keep_s: int) -> None:
        self._cache = cache
        self._keep_s = keep_s

    async def lines(self, session: Session) -> dict[int, int]:
        """Return quantities by product."""
        fields = await answer(self._cache.hgetall(session.cart_key))
        return {int(product): int(quantity) for product, quantity in sorted(fields.items())}

    async def put(self, session: Session, product_id: int, quantity: int) -> None:
        """Set a line's quantity; zero takes the line out. Sent twice it changes nothing.

        Raises:
            InvalidRequestError: the quantity is out of range or the cart is full.
        """
        if not 0 <= quantity <= MOST_UNITS:
            raise InvalidRequestError(f"quantity must be 0 to {MOST_UNITS}")
        if quantity == 0:
            await answer(self._cache.hdel(session.cart_key, product_id))
            return
        pipeline = self._cache.pipeline(transaction=False)
        pipeline.hset(session.cart_key, product_id, quantity)
        pipeline.expire(session.cart_key, self._keep_s)
        pipeline.hlen(session.cart_key)
        *_, lines = await answer(pipeline.execute())
        if lines > _MOST_LINES:
            await answer(self._cache.hdel(session.cart_key, product_id))
            raise InvalidRequestError(f"a cart has at most {_MOST_LINES} lines")

    async def clear(self, session: Session) -> None:
        """Empty the cart."""
        await answer(self._cache.delete(session.cart_key))


class Orders:
    """Reading orders, always for their own shopper."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def order(self, order_id: str, user_id: int) -> Row:
        """Return an order with its lines, as the primary has it.

        Raises:
            NotFoundError: the shopper has no such order.
        """
        rows = await self._database.read_primary(
            f"{_DETAILS} WHERE id = %s AND user_id = %s",
            (order_id, user_id),
        )
        if not rows:
            raise NotFoundError("there is no such order")
        lines = await self._database.read_primary(
            "SELECT l.product_id, p.name, p.image, l.quantity, l.price_cents FROM order_lines l"
            " JOIN products p ON p.id = l.product_id WHERE l.order_id = %s ORDER BY l.product_id",
            (order_id,),
        )
        return {**rows[0], "lines": lines}

    async def of(self, user_id: int) -> list[Row]:
        """Return a shopper's last orders, newest first."""
        return await self._database.read_primary(
            f"{_DETAILS} WHERE user_id = %s ORDER BY created_at DESC LIMIT 50",
            (user_id,),
        )


async def find_by_key(connection: Connection, key: str) -> Row | None:
    """Return the order of an idempotency key, locked."""
    cursor = await connection.execute(
        "SELECT id::text AS id, user_id, state, total_cents FROM orders"
        " WHERE idempotency_key = %s FOR UPDATE",
        (key,),
    )
    return await cursor.fetchone()


async def place(
    connection: Connection, user_id: int, key: str, cart: dict[int, int]
) -> tuple[str, int] | None:
    """Take the stock and write the order; return its id and total in cents.

    Products are locked in the order of their ids, so two carts cannot wait for each other.

    Returns:
        None when somebody else has just placed an order under the key (roll back, look again).

    Raises:
        ConflictError: the cart is empty or a product has not enough stock.
    """
    if not cart:
        raise ConflictError("the cart is empty")
    cursor = await connection.execute(
        "SELECT id, price_cents, stock FROM products WHERE id = ANY(%s)"
        " ORDER BY id FOR NO KEY UPDATE",
        (list(cart),),
    )
    products = await cursor.fetchall()
    if len(products) < len(cart) or any(row["stock"] < cart[row["id"]] for row in products):
        raise ConflictError("not enough stock")
    total = sum(row["price_cents"] * cart[row["id"]] for row in products)
    cursor = await connection.execute(
        "INSERT INTO orders (user_id, idempotency_key, total_cents, provider)"
        " VALUES (%s, %s, %s, '') ON CONFLICT (idempotency_key) DO NOTHING RETURNING id::text",
        (user_id, key, total),
    )
    order = await cursor.fetchone()
    if order is None:
        return None
    await _take(connection, order["id"], cart, products)
    return str(order["id"]), total


async def _take(
    connection: Connection, order_id: str, cart: dict[int, int], products: list[Row]
) -> None:
    """Take the order's units out of the stock and write its lines."""
    ids = [row["id"] for row in products]
    quantities = [cart[product] for product in ids]
    await connection.execute(
        "UPDATE products p SET stock = p.stock - l.quantity"
        " FROM unnest(%s::bigint[], %s::bigint[]) AS l(id, quantity) WHERE p.id = l.id",
        (ids, quantities),
    )
    await connection.execute(
        "INSERT INTO order_lines (order_id, product_id, quantity, price_cents)"
        " SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[])",
        (order_id, ids, quantities, [row["price_cents"] for row in products]),
    )


async def cancel(connection: Connection, order_id: str) -> None:
    """Cancel a placed order that will not be paid and give its stock back."""
    cursor = await connection.execute(
        "UPDATE orders SET state = 'cancelled', cancelled_at = now()"
        " WHERE id = %s AND state = 'placed' RETURNING id",
        (order_id,),
    )
    if await cursor.fetchone():
        await restock(connection, order_id)


async def restock(connection: Connection, order_id: str) -> None:
    """Give an order's stock back, once."""
    cursor = await connection.execute(
        "UPDATE orders SET restocked = true WHERE id = %s AND NOT restocked RETURNING id",
        (order_id,),
    )
    if not await cursor.fetchone():
        return
    await connection.execute(
        "SELECT 1 FROM products WHERE id IN (SELECT product_id FROM order_lines"
        " WHERE order_id = %s) ORDER BY id FOR NO KEY UPDATE",
        (order_id,),
    )
    await connection.execute(
        "UPDATE products p SET stock = p.stock + l.quantity FROM order_lines l"
        " WHERE l.order_id = %s AND p.id = l.product_id",
        (order_id,),
    )
