"""Names -> the one address that is probed, chosen by the preferred IP protocol.

Source: blackbox_exporter's chooseProtocol: the preferred protocol's first address, else one of
the other protocol where falling back is allowed.
"""

import asyncio
import functools
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from monitors.probes.format import IpChoice
from monitors.probes.report import Report

# A name server that hangs holds a thread for as long as the C library waits; literal addresses
# never come here, and the threads are made only when they are needed.
_THREADS = 64
_resolvers = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")


class ResolveError(Exception):
    """There is no address to probe; says why."""


async def resolve(host: str, choice: IpChoice, report: Report) -> str:
    """Return the address to probe, "" after saying in the report why there is none."""
    values = report.values
    values["probe_ip_protocol"] = values["probe_ip_addr_hash"] = 0
    started = time.monotonic()
    try:
        address = await address_of(host, choice, report)
    except ResolveError as error:
        report.seconds["probe_dns_lookup_time_seconds"] = time.monotonic() - started
        report.fail(str(error))
        return ""
    report.seconds["probe_dns_lookup_time_seconds"] = time.monotonic() - started
    values["probe_ip_protocol"] = version(address)
    values["probe_ip_addr_hash"] = address_hash(address)
    return address


def literal(host: str, choice: IpChoice) -> tuple[str, int]:
    """Return a host that is an address and its version, ("", 0) for one to be resolved."""
    found = version(host)
    wanted = 4 if choice.preferred_ip_protocol == "ip4" else 6
    return (host, found) if found == wanted or (found and choice.ip_protocol_fallback) else ("", 0)


async def address_of(host: str, choice: IpChoice, report: Report) -> str:
    """Return the address of a host within what is left of the probe's time.

    Raises:
        ResolveError: there is none.
    """
    wanted = 4 if choice.preferred_ip_protocol == "ip4" else 6
    if literal := version(host):
        if literal != wanted and not choice.ip_protocol_fallback:
            raise ResolveError(f"{host} is no address of {choice.preferred_ip_protocol}")
        return host
    report.step("resolving", host=host, preferred=choice.preferred_ip_protocol)
    try:
        addresses = await _look_up(host, report.remaining_s)
    except TimeoutError:
        raise ResolveError(f"the name {host!r} could not be resolved in time") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResolveError(f"the name {host!r} cannot be resolved: {reason}") from None
    address = _choose(addresses, wanted, fallback=choice.ip_protocol_fallback)
    if address is None:
        raise ResolveError(f"{host!r} has no address of {choice.preferred_ip_protocol}")
    report.step("resolved", address=address)
    return address


@functools.lru_cache(4096)
def version(host: str) -> int:
    """Return 4 or 6 for a literal address, 0 for a name."""
    try:
        return ip_address(host.partition("%")[0]).version
    except ValueError:
        return 0


async def _look_up(host: str, limit_s: float) -> list[str]:
    look_up = functools.partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    loop = asyncio.get_running_loop()
    found = loop.run_in_executor(_resolvers, look_up)
    await asyncio.wait({found}, timeout=limit_s)
    if not found.done():
        raise TimeoutError
    return [str(one[4][0]) for one in found.result()]


def _choose(addresses: list[str], wanted: int, *, fallback: bool) -> str | None:
    for address in addresses:
        if version(address) == wanted:
            return address
    return addresses[0] if addresses and fallback else None


@functools.lru_cache(4096)
def address_hash(address: str) -> int:
    """Return the 32-bit FNV-1a hash of an address' bytes. Source: blackbox_exporter's ipHash."""
    value = 0x811C9DC5
    for byte in ip_address(address.partition("%")[0]).packed:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value
