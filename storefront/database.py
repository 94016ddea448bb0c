"""The shop's way to PostgreSQL: writes to the primary, catalogue reads to the standby.

Both connection strings name both nodes, so whichever is the primary is found without a restart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from storefront.errors import UnavailableError
from storefront.settings import Settings

T = TypeVar("T")
Row = dict[str, Any]
Connection = AsyncConnection[Row]

_CHECK_S = 0.5
_UNREPLICATED = "canceling wait for synchronous replication"
_READER_LIFETIME_S = 60.0
"""Readers that had to move to the primary go back to the standby within this time."""


class Database:
    """Two pools, short waits, and one error: `UnavailableError`.

    Args:
        settings: ports, password and limits.
        writers: most connections to the primary.
        readers: most connections for reads.
    """

    def __init__(self, settings: Settings, *, writers: int = 8, readers: int = 6) -> None:
        self._limits = settings.limits
        self._unreplicated: set[int] = set()
        # No limit of waiters: those that gave up still count until a connection comes, and at the
        # limit the pool would no longer try to make one. Their wait is bounded by its time-out.
        common = {
            "min_size": 1, "timeout": self._limits.pool_wait_s,
            "reconnect_timeout": 1.0, "open": False, "configure": self._configure,
        }  # fmt: skip
        write_url = settings.database_url("shop", "SHOP_DB_PASSWORD", target="read-write")
        read_url = settings.database_url("shop", "SHOP_DB_PASSWORD", target="prefer-standby")
        self._writer = AsyncConnectionPool(
            write_url, name="writer", max_size=writers, kwargs={"row_factory": dict_row},
            check=self._check_writer, **common,
        )  # fmt: skip
        self._reader = AsyncConnectionPool(
            read_url, name="reader", max_size=readers, max_lifetime=_READER_LIFETIME_S,
            kwargs={"row_factory": dict_row, "autocommit": True},
            check=self._check_reader, **common,
        )  # fmt: skip

    async def open(self) -> None:
        """Start connecting; an unreachable database is an error of requests, not of the start."""
        await self._writer.open()
        await self._reader.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.close()
        await self._reader.close()

    async def write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run the work in one transaction on the primary; when this returns, both nodes have it.

        A commit that the standby has not confirmed within `unit_s` counts as failed although the
        primary may keep it: callers find out by reading again under their own key.

        Raises:
            UnavailableError: no primary, no commit in time, or no confirmation by the standby.
        """
        try:
            async with asyncio.timeout(self._limits.unit_s), self._writer.connection() as held:
                connection: Connection = held
                self._unreplicated.discard(id(connection))
                result = await work(connection)
                await connection.commit()
                if id(connection) in self._unreplicated:
                    raise UnavailableError("the database could not make the change safe; try again")
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg.errors.ReadOnlySqlTransaction,
            TimeoutError,
        ) as error:
            raise UnavailableError("the database does not answer; try again") from error
        return result

    async def read(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return rows as the standby has them (or the primary, when no standby answers).

        Raises:
            UnavailableError: neither node answers.
        """
        try:
            return await self._fetch(self._reader, query, parameters)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError):
            return await self.read_primary(query, parameters)

    async def read_primary(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return rows as the primary has them: a shopper's own orders.

        Raises:
            UnavailableError: no primary answers.
        """
        try:
            return await self._fetch(self._writer, query, parameters)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
            raise UnavailableError("the database does not answer; try again") from error

    async def _fetch(self, pool: Any, query: str, parameters: Sequence[Any]) -> list[Row]:
        async with asyncio.timeout(self._limits.read_s), pool.connection() as connection:
            cursor = await connection.execute(query, parameters)
            rows: list[Row] = await cursor.fetchall()
            return rows

    async def _configure(self, connection: Connection) -> None:
        """Notice commits that were let go before the standby had them."""
        key = id(connection)

        def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
            if _UNREPLICATED in (diagnostic.message_primary or ""):
                self._unreplicated.add(key)

        connection.add_notice_handler(notice)

    async def _check_writer(self, connection: Connection) -> None:
        await self._check(self._writer, connection)

    async def _check_reader(self, connection: Connection) -> None:
        await self._check(self._reader, connection)

    async def _check(self, pool: Any, connection: Connection) -> None:
        """Try a pooled connection before use; one dead connection empties the whole pool."""
        try:
            async with asyncio.timeout(_CHECK_S):
                await AsyncConnectionPool.check_connection(connection)
        except (psycopg.Error, TimeoutError) as error:
            await connection.close()
            await pool.drain()
            raise psycopg.OperationalError("the pooled connection is dead") from error
