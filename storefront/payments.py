"""Payment centre: attempts to take an order's money, under claims, with outcomes that are kept.

An attempt is one row with one provider and one key. Whoever asks the provider about it holds a
claim (a number that only grows, and a lease), so that an answer that comes late, from a process
that was frozen meanwhile, cannot overrule a newer one. The database permits one open attempt per
order: no second provider is asked while the first attempt is unknown.
"""

from dataclasses import dataclass

from storefront.database import Connection, Row
from storefront.errors import InvalidRequestError
from storefront.orders import cancel
from storefront.provider_client import Outcome
from storefront.security import record_audit
from storefront.settings import PROVIDERS


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to ask one provider about one attempt, until the lease ends."""

    payment_id: int
    order_id: str
    provider: str
    key: str
    amount_cents: int
    number: int


async def open_attempt(connection: Connection, order_id: str, cents: int, lease_s: float) -> Claim:
    """Add an attempt at the provider that the shop uses now, claimed by us."""
    provider = await active_provider(connection)
    cursor = await connection.execute(
        "INSERT INTO payments (order_id, attempt, provider, idempotency_key, amount_cents,"
        " claimed_until) SELECT %(order)s, n, %(provider)s, %(order)s || '-' || n, %(cents)s,"
        " clock_timestamp() + make_interval(secs => %(lease)s)"
        " FROM (SELECT coalesce(max(attempt), 0) + 1 AS n FROM payments WHERE order_id = %(order)s)"
        " RETURNING *",
        {"order": order_id, "provider": provider, "cents": cents, "lease": lease_s},
    )
    await connection.execute("UPDATE orders SET provider = %s WHERE id = %s", (provider, order_id))
    return claim_from(one(await cursor.fetchall()))


async def claim_again(connection: Connection, payment_id: int, lease_s: float) -> Claim:
    """Take over an open attempt whose lease has ended."""
    cursor = await connection.execute(
        "UPDATE payments SET claims = claims + 1, updated_at = now(),"
        " claimed_until = clock_timestamp() + make_interval(secs => %s)"
        " WHERE id = %s RETURNING *",
        (lease_s, payment_id),
    )
    return claim_from(one(await cursor.fetchall()))


def claim_from(row: Row) -> Claim:
    """Return the claim that a row of `payments` stands for."""
    return Claim(
        row["id"],
        str(row["order_id"]),
        row["provider"],
        row["idempotency_key"],
        row["amount_cents"],
        row["claims"],
    )


async def keep_outcome(connection: Connection, claim: Claim, outcome: Outcome) -> str:
    """Write down what the provider said and return the attempt's state after it.

    A capture counts whoever reports it. Everything else counts only from the newest claim, and
    `NOT_SENT` is a failure only if nobody else ever held the attempt.

    Args:
        connection: the transaction.
        claim: what was asked for.
        outcome: what came back.
    """
    await connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", (claim.order_id,))
    cursor = await connection.execute(
        "SELECT state, claims FROM payments WHERE id = %s FOR UPDATE", (claim.payment_id,)
    )
    row = one(await cursor.fetchall())
    state = next_state(row["state"], outcome, claim.number, row["claims"])
    if state == row["state"]:
        # Still a write: its commit proves that the standby has all that came before.
        await connection.execute(
            "UPDATE payments SET updated_at = now() WHERE id = %s", (claim.payment_id,)
        )
        return state
    await connection.execute(
        "UPDATE payments SET state = %s, updated_at = now(), claimed_until = clock_timestamp()"
        " WHERE id = %s",
        (state, claim.payment_id),
    )
    if state == "captured":
        await _pay(connection, claim.order_id)
    elif state == "voided":
        await cancel(connection, claim.order_id)
    return state


def next_state(state: str, outcome: Outcome, claim: int, newest_claim: int) -> str:
    """Return an attempt's next state.

    Args:
        state: its state now.
        outcome: what a claimant learned.
        claim: the claimant's number.
        newest_claim: the number of the claim that counts.
    """
    if state not in ("pending", "unknown"):
        return state
    if outcome is Outcome.CAPTURED:
        return "captured"
    if outcome is Outcome.VOIDED:
        return "voided"
    if claim != newest_claim:
        return state
    if outcome is Outcome.FAILED or (outcome is Outcome.NOT_SENT and claim == 1):
        return "failed"
    return "unknown"


async def _pay(connection: Connection, order_id: str) -> None:
    await connection.execute(
        "UPDATE orders SET state = 'paid', paid_at = now() WHERE id = %s", (order_id,)
    )
    await connection.execute(
        "INSERT INTO events (kind, order_id) VALUES ('order', %s)", (order_id,)
    )


async def active_provider(connection: Connection) -> str:
    """Return the provider that new attempts go to."""
    cursor = await connection.execute(
        "SELECT value FROM shop_settings WHERE key = 'payment_provider'"
    )
    return str(one(await cursor.fetchall())["value"])


async def switch_provider(connection: Connection, provider: str) -> None:
    """Send new attempts to another provider from now on, on every instance.

    Raises:
        InvalidRequestError: there is no such provider.
    """
    if provider not in PROVIDERS:
        raise InvalidRequestError(f"provider must be one of {', '.join(PROVIDERS)}")
    await connection.execute(
        "UPDATE shop_settings SET value = %s WHERE key = 'payment_provider'", (provider,)
    )
    await record_audit(connection, "payment_provider_switched", f"provider:{provider}")


def one(rows: list[Row]) -> Row:
    """Return the only row of a statement that gives exactly one."""
    (row,) = rows
    return row
