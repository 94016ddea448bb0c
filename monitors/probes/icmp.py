"""ICMP probes: one echo request, on an unprivileged socket where the kernel permits it.

Source for order and meaning: blackbox_exporter's prober/icmp.go; for sockets: Linux's icmp(7),
net.ipv4.ping_group_range.
"""

import asyncio
import contextlib
import itertools
import os
import random
import socket
import struct
import time

from monitors.probes.format import IcmpModule
from monitors.probes.modules import NamedModule
from monitors.probes.report import Report
from monitors.probes.resolve import resolve, version

_PHASED = "probe_icmp_duration_seconds"
_CONTENT = b"storewatch probe"
_IP_RECVTTL = 12  # linux/in.h; Python has no name for it
_IP_MTU_DISCOVER = 10
_IP_PMTUDISC_DO = 2
_ECHO = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}
_NOT_PERMITTED = (
    "ICMP is not permitted here; widen net.ipv4.ping_group_range to the exporter's group, or give"
    " it CAP_NET_RAW"
)

_identifier = os.getpid() & 0xFFFF
_sequence = itertools.count(random.randrange(1 << 16))


class IcmpProber:
    """Probes hosts by echo requests."""

    async def probe(self, target: str, module: NamedModule, report: Report) -> bool:
        """Send one echo request to a host; return whether its reply came in time."""
        settings = module.settings.icmp
        report.phased, report.phases = _PHASED, dict.fromkeys(("resolve", "setup", "rtt"), 0.0)
        address = await resolve(target, settings, report)
        report.phases["resolve"] = report.seconds["probe_dns_lookup_time_seconds"]
        if not address:
            return False
        started = time.monotonic()
        try:
            sock, raw = _open(version(address), settings)
        except PermissionError:
            return report.fail(_NOT_PERMITTED)
        except OSError as error:
            return report.fail(f"no socket for ICMP: {error.strerror or error}")
        report.phases["setup"] = time.monotonic() - started
        with contextlib.closing(sock):
            try:
                async with asyncio.timeout(report.remaining_s):
                    return await _echo(sock, raw, address, settings, report)
            except TimeoutError:
                return report.fail("no reply in time")
            except OSError as error:
                return report.fail(f"the request cannot be sent: {error.strerror or error}")


def _open(ip: int, settings: IcmpModule) -> tuple[socket.socket, bool]:
    """Return a socket for echo requests, and whether it is a raw one.

    Raises:
        PermissionError: the kernel permits neither kind.
    """
    family = socket.AF_INET if ip == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if ip == 4 else socket.IPPROTO_ICMPV6
    try:
        sock, raw = socket.socket(family, socket.SOCK_DGRAM, protocol), False
    except PermissionError:
        sock, raw = socket.socket(family, socket.SOCK_RAW, protocol), True
    try:
        sock.setblocking(False)
        if ip == 4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, settings.ttl or 64)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            if settings.dont_fragment:
                sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, settings.ttl or 64)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        if settings.source_ip_address:
            sock.bind((settings.source_ip_address, 0))
    except BaseException:
        sock.close()
        raise
    return sock, raw


async def _echo(
    sock: socket.socket, raw: bool, address: str, settings: IcmpModule, report: Report
) -> bool:
    ip = version(address)
    sequence = next(_sequence) & 0xFFFF
    content = _CONTENT.ljust(settings.payload_size, b"\0")[: settings.payload_size or None]
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        started = time.monotonic()
        report.step("sending", address=address, sequence=sequence, bytes=len(content), raw=raw)
        sock.sendto(packet(_ECHO[ip], _identifier, sequence, content), (address, 0))
        while True:
            await readable.wait()
            readable.clear()
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, ancillary, _, peer = sock.recvmsg(65536, 128)
                    if raw and ip == 4:
                        data = data[(data[0] & 15) * 4 :]
                    identifier = _identifier if raw else None
                    if peer[0] == address and _is_reply(data, ip, identifier, sequence, content):
                        report.phases["rtt"] = time.monotonic() - started
                        for _, _, limit in ancillary:
                            (hops,) = struct.unpack("=i", limit[:4])
                            report.values["probe_icmp_reply_hop_limit"] = hops
                        return True
    finally:
        loop.remove_reader(sock)


def packet(kind: int, identifier: int, sequence: int, content: bytes) -> bytes:
    """Return an echo request with its checksum. Source: RFC 792."""
    head = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence)
    data = head + content + b"\0" * (len(content) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", kind, 0, ~total & 0xFFFF, identifier, sequence) + content


def _is_reply(data: bytes, ip: int, identifier: int | None, sequence: int, content: bytes) -> bool:
    """Return whether a packet answers; an unprivileged socket's identifier is the kernel's."""
    if len(data) < 8:
        return False
    kind, _, _, told, number = struct.unpack("!BBHHH", data[:8])
    right = kind == _ECHO_REPLY[ip] and number == sequence and data[8:] == content
    return right and identifier in {None, told}
