"""DNS probes: one question to one name server, its records counted and checked.

Source for order and meaning: blackbox_exporter's prober/dns.go.
"""

import asyncio
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from monitors.probes.address import split
from monitors.probes.format import DnsModule, RecordChecks
from monitors.probes.modules import NamedModule
from monitors.probes.report import Report
from monitors.probes.resolve import resolve
from monitors.probes.tcp import open_tls

_PHASED = "probe_dns_duration_seconds"
_ZEROS = dict.fromkeys(
    (
        "probe_dns_answer_rrs",
        "probe_dns_authority_rrs",
        "probe_dns_additional_rrs",
        "probe_dns_query_succeeded",
    ),
    0,
)


class DnsProber:
    """Probes name servers; files of modules lie below `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def probe(self, target: str, module: NamedModule, report: Report) -> bool:
        """Ask the name server at host[:port] once; return whether its answer is right."""
        settings = module.settings.dns
        assert settings is not None
        report.values.update(_ZEROS)
        report.phased, report.phases = (
            _PHASED,
            dict.fromkeys(("resolve", "connect", "request"), 0.0),
        )
        try:
            host, port = split(target, 853 if settings.dns_over_tls else 53)
        except ValueError as error:
            return report.fail(str(error))
        address = await resolve(host, settings, report)
        report.phases["resolve"] = report.seconds["probe_dns_lookup_time_seconds"]
        if not address:
            return False
        query = _query(settings)
        report.step("asking", server=address, port=port, question=str(query.question[0]))
        try:
            async with asyncio.timeout(report.remaining_s):
                answer = await self._ask(query, host, address, port, settings, report)
        except TimeoutError:
            return report.fail("no answer in time")
        except (OSError, dns.exception.DNSException, asyncio.IncompleteReadError) as error:
            return report.fail(f"no answer: {getattr(error, 'strerror', None) or error}")
        return _judge(settings, answer, report)

    async def _ask(
        self,
        query: dns.message.Message,
        host: str,
        address: str,
        port: int,
        settings: DnsModule,
        report: Report,
    ) -> dns.message.Message:
        started = time.monotonic()
        source = (settings.source_ip_address, 0) if settings.source_ip_address else None
        if settings.transport_protocol == "udp":
            exchange = _udp(query, address, port, source)
        else:
            where: dict[str, Any] = {"host": address, "port": port, "local_addr": source}
            if settings.dns_over_tls:
                name = settings.tls_config.server_name or host
                streams = await open_tls(where, settings.tls_config, name, self._home, report)
            else:
                streams = await asyncio.open_connection(**where)
            report.phases["connect"] = time.monotonic() - started
            exchange = _tcp(query, *streams)
        started = time.monotonic()
        try:
            return await exchange
        finally:
            report.phases["request"] = time.monotonic() - started


def _query(settings: DnsModule) -> dns.message.Message:
    query = dns.message.make_query(
        settings.query_name,
        dns.rdatatype.from_text(settings.query_type),
        dns.rdataclass.from_text(settings.query_class),
    )
    if not settings.recursion_desired:
        query.flags &= ~dns.flags.RD
    return query


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the answer to one query; other datagrams are passed over."""

    def __init__(self, query: dns.message.Message) -> None:
        self._query = query
        self.answer: asyncio.Future[dns.message.Message] = (
            asyncio.get_running_loop().create_future()
        )

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - the base's
        if self.answer.done():
            return
        try:
            message = dns.message.from_wire(data, ignore_trailing=True)
        except dns.exception.DNSException as error:
            self.answer.set_exception(error)
            return
        if self._query.is_response(message):
            self.answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _udp(
    query: dns.message.Message, address: str, port: int, source: tuple[str, int] | None
) -> dns.message.Message:
    transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(query), local_addr=source, remote_addr=(address, port)
    )
    try:
        transport.sendto(query.to_wire())
        return await datagrams.answer
    finally:
        transport.close()


async def _tcp(
    query: dns.message.Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> dns.message.Message:
    """Exchange messages with their length before them. Source: RFC 1035, section 4.2.2."""
    try:
        wire = query.to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            data = await reader.readexactly(length)
            message = dns.message.from_wire(data, ignore_trailing=True)
            if query.is_response(message):
                return message
    finally:
        writer.close()


def _judge(settings: DnsModule, answer: dns.message.Message, report: Report) -> bool:
    values = report.values
    answers, authority = _texts(answer.answer), _texts(answer.authority)
    additional = _texts(answer.additional) + ([";; OPT"] if answer.opt is not None else [])
    values["probe_dns_query_succeeded"] = 1
    values["probe_dns_answer_rrs"] = len(answers)
    values["probe_dns_authority_rrs"] = len(authority)
    values["probe_dns_additional_rrs"] = len(additional)
    if settings.query_type == "SOA":
        values["probe_dns_serial"] = _serial(answer.answer)
    rcode = dns.rcode.to_text(answer.rcode())
    report.step("answered", rcode=rcode, records=len(answers))
    if rcode not in settings.valid_rcodes:
        wanted = ", ".join(settings.valid_rcodes)
        return report.fail(f"the response code is {rcode}, not {wanted}")
    return all(
        records_are_right(texts, checks, section, report)
        for texts, checks, section in (
            (answers, settings.validate_answer_rrs, "answer"),
            (authority, settings.validate_authority_rrs, "authority"),
            (additional, settings.validate_additional_rrs, "additional"),
        )
    )


def _serial(rrsets: Iterable[dns.rrset.RRset]) -> int:
    serials = [one.serial for rrset in rrsets for one in rrset if hasattr(one, "serial")]
    return int(serials[-1]) if serials else 0


def _texts(rrsets: Iterable[dns.rrset.RRset]) -> list[str]:
    """Return records as patterns see them: name, TTL, class, type and data between tabs."""
    return [
        f"{rrset.name}\t{rrset.ttl}\t{dns.rdataclass.to_text(rrset.rdclass)}"
        f"\t{dns.rdatatype.to_text(rrset.rdtype)}\t{record.to_text()}"
        for rrset in rrsets
        for record in rrset
    ]


def records_are_right(texts: list[str], checks: RecordChecks, section: str, report: Report) -> bool:
    """Return whether the records of a section pass its patterns; the report says why not."""
    if not texts and (checks.fail_if_not_matches_regexp or checks.fail_if_none_matches_regexp):
        return report.fail(f"the {section} section has no records")
    for text in texts:
        report.step("record", section=section, text=text)
        if any(pattern.search(text) for pattern in checks.fail_if_matches_regexp):
            return report.fail(f"a record of the {section} section matches: {text!r}")
        if not all(pattern.search(text) for pattern in checks.fail_if_not_matches_regexp):
            return report.fail(f"a record of the {section} section does not match: {text!r}")
    every = checks.fail_if_all_match_regexp
    if every and all(pattern.search(text) for text in texts for pattern in every):
        return report.fail(f"all records of the {section} section match")
    some = checks.fail_if_none_matches_regexp
    if some and not any(pattern.search(text) for text in texts for pattern in some):
        return report.fail(f"no record of the {section} section matches")
    return True
