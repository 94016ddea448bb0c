"""Transfers that are begun, and given up before libcurl heard of them."""

import asyncio
from contextlib import closing

import pycurl

from monitors.probes.transfers import Transfers


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


def request(port: int, name: str) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, f"http://127.0.0.1:{port}/{name}")
    handle.setopt(pycurl.NOPROXY, "*")
    return handle


async def given_up(indices: set[int], count: int = 3) -> list[str]:
    """Begin transfers in one turn, give up some at once; return which paths were asked for."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n")
        asked.append(request.split()[1].decode())
        await answer(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with closing(Transfers()) as transfers:
        handles = [request(port, name) for name in (*map(str, range(count)), "last")]
        begun = [transfers.start(handle) for handle in handles[:-1]]
        for index in indices:
            transfers.abandon(handles[index])
        ended = [await one for index, one in enumerate(begun) if index not in indices]
        ended.append(await transfers.start(handles[-1]))
        assert [code for code, _ in ended] == [0] * len(ended)
    server.close()
    return sorted(asked)


def test_a_transfer_given_up_in_the_turn_it_was_begun_is_never_made() -> None:
    assert asyncio.run(given_up({1})) == ["/0", "/2", "/last"]


def test_a_turn_whose_transfers_are_all_given_up_asks_for_nothing() -> None:
    assert asyncio.run(given_up({0, 1, 2})) == ["/last"]


def test_giving_up_twice_is_giving_up_once() -> None:
    async def twice() -> None:
        with closing(Transfers()) as transfers:
            handle = request(9, "")
            transfers.start(handle)
            transfers.abandon(handle)
            transfers.abandon(handle)
            await asyncio.sleep(0)

    asyncio.run(twice())
