"""The shop's connection pools through an outage, in this process and against the real pair."""

import asyncio
import socket
from contextlib import suppress
from dataclasses import replace

import pytest
from shop_stack import Stack, free_ports

from storefront.database import Connection, Database
from storefront.errors import UnavailableError


async def one(connection: Connection) -> int:
    cursor = await connection.execute("SELECT 1 AS one")
    row = await cursor.fetchone()
    assert row
    return int(row["one"])


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass one connection on to the real database."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))


async def answer_of(database: Database) -> int:
    with suppress(UnavailableError):
        return await database.write(one)
    return 0


def primary_port(shop: Stack) -> int:
    port = shop.rows("SELECT inet_server_port() AS port")[0]["port"]
    assert isinstance(port, int)
    return port


def database_behind(shop: Stack, port: int, unused: int) -> Database:
    """Return pools over a port that nobody listens on yet."""
    ports = {**shop.settings.ports, "db-a": port, "db-b": unused}
    limits = replace(shop.settings.limits, pool_wait_s=0.2)
    return Database(replace(shop.settings, ports=ports, limits=limits))


def test_after_a_long_outage_the_database_is_found_again(shop: Stack) -> None:
    port, unused = free_ports(2)
    real = primary_port(shop)

    async def outage() -> None:
        database = database_behind(shop, port, unused)
        await database.open()
        for _ in range(3):
            tried = (database.write(one) for _ in range(150))
            results = await asyncio.gather(*tried, return_exceptions=True)
            assert all(isinstance(result, UnavailableError) for result in results)
        server = await asyncio.start_server(lambda r, w: forward(r, w, real), "127.0.0.1", port)
        try:
            async with asyncio.timeout(5):
                while await answer_of(database) != 1:
                    pass
        finally:
            await database.close()
            server.close()

    asyncio.run(outage())


def test_a_server_that_accepts_and_says_nothing_costs_no_more_than_the_limits(
    shop: Stack,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        async def ask() -> float:
            database = database_behind(shop, silent.getsockname()[1], free_ports(1)[0])
            await database.open()
            loop = asyncio.get_running_loop()
            started = loop.time()
            with pytest.raises(UnavailableError):
                await database.write(one)
            with pytest.raises(UnavailableError):
                await database.read("SELECT 1")
            took = loop.time() - started
            await database.close()
            return took

        assert asyncio.run(ask()) < 1.5
