"""Security centre: rate limits, failed log-ins, audit events."""

import hashlib
import time
from typing import Any

from storefront.cache import answer
from storefront.database import Connection, Database
from storefront.errors import TooManyRequestsError
from storefront.settings import Limits

_WINDOW_S = 10.0
_MOST_CLIENTS = 10_000
_ADDRESS_FACTOR = 20
"""Failed log-ins per address: this many accounts' worth, then the address is locked too."""


class RequestLimiter:
    """Counts requests per client address in windows of 10 s, in this process only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = 0
        self._counts: dict[str, int] = {}

    def admit(self, address: str) -> bool:
        """Tell whether the address may send one more request; addresses are never stored."""
        window = int(time.monotonic() / _WINDOW_S)
        if window != self._window or len(self._counts) > _MOST_CLIENTS:
            self._window = window
            self._counts.clear()
        count = self._counts.get(address, 0) + 1
        self._counts[address] = count
        return count <= self._most


class Security:
    """Locks accounts that are being guessed at, and keeps the audit trail."""

    def __init__(self, database: Database, cache: Any, limits: Limits) -> None:
        self._database = database
        self._cache = cache
        self._limits = limits

    async def check_login(self, account: str, address: str) -> None:
        """Refuse a log-in to a locked account or from a locked address.

        Raises:
            TooManyRequestsError: too many failures within the window.
        """
        by_account, by_address = await answer(self._cache.mget(_keys(account, address)))
        most = self._limits.failed_logins
        if int(by_account or 0) >= most or int(by_address or 0) >= most * _ADDRESS_FACTOR:
            raise TooManyRequestsError("too many failed log-ins; wait five minutes")

    async def login_failed(self, account: str, address: str, user_id: int | None) -> None:
        """Count a failed log-in and write it down with the account's id, never its name."""
        pipeline = self._cache.pipeline(transaction=False)
        for key in _keys(account, address):
            pipeline.incr(key)
            pipeline.expire(key, self._limits.failed_logins_window_s, nx=False)
        await answer(pipeline.execute())
        subject = f"user:{user_id}" if user_id is not None else "user:unknown"

        async def work(connection: Connection) -> None:
            await record_audit(connection, "login_failed", subject)

        await self._database.write(work)

    async def login_succeeded(self, account: str, address: str) -> None:
        """Forget the account's failures."""
        await answer(self._cache.delete(_keys(account, address)[0]))


async def record_audit(connection: Connection, kind: str, subject: str) -> None:
    """Write an audit event into the transaction that it belongs to.

    Args:
        connection: the transaction.
        kind: login_failed, payment_provider_switched or order_refunded.
        subject: an id such as `user:12`.
    """
    await connection.execute(
        "INSERT INTO audit_events (kind, subject) VALUES (%s, %s)", (kind, subject)
    )


def _keys(account: str, address: str) -> list[str]:
    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    return [f"login-failures:account:{digest(account)}", f"login-failures:from:{digest(address)}"]
