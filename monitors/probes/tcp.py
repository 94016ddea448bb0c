"""TCP probes: connect, speak TLS, hold a conversation of expected and sent lines.

Source for order and meaning: blackbox_exporter's prober/tcp.go.
"""

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

from monitors.probes import certificate
from monitors.probes.address import split
from monitors.probes.format import QueryResponse, TcpModule, TlsConfig
from monitors.probes.modules import NamedModule
from monitors.probes.report import Report
from monitors.probes.resolve import resolve

_LONGEST_LINE_BYTES = 64 * 1024
"""Source: Go's bufio.MaxScanTokenSize."""
_CLOSING_S = 1.0
_NAME = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TcpProber:
    """Probes by TCP; files of modules lie below `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def probe(self, target: str, module: NamedModule, report: Report) -> bool:
        """Probe host:port once; return whether that was a success."""
        settings = module.settings.tcp
        report.values["probe_failed_due_to_regex"] = 0
        try:
            host, port = split(target)
        except ValueError as error:
            return report.fail(str(error))
        address = await resolve(host, settings, report)
        if not address:
            return False
        try:
            async with asyncio.timeout(report.remaining_s):
                return await self._probe(host, address, port, settings, report)
        except TimeoutError:
            return report.fail("no answer in time")
        except (OSError, ValueError) as error:
            return report.fail(f"{getattr(error, 'strerror', None) or error}")

    async def _probe(
        self, host: str, address: str, port: int, settings: TcpModule, report: Report
    ) -> bool:
        report.step("connecting", address=address, port=port, tls=settings.tls)
        tls = settings.tls_config
        name = tls.server_name or host
        where: dict[str, Any] = {"host": address, "port": port, "limit": _LONGEST_LINE_BYTES}
        if settings.source_ip_address:
            where["local_addr"] = (settings.source_ip_address, 0)
        if settings.tls:
            streams = await open_tls(where, tls, name, self._home, report)
        else:
            streams = await asyncio.open_connection(**where)
        try:
            for entry in settings.query_response:
                if not await _converse(streams, entry, report):
                    return False
                if entry.starttls:
                    context = certificate.context(tls, self._home)
                    report.step("upgrading to TLS", name=name)
                    await streams[1].start_tls(context, server_hostname=name)
                    report_tls(streams[1], tls, self._home, report)
        finally:
            streams[1].close()
        return True


async def open_tls(
    where: dict[str, Any], tls: TlsConfig, name: str, home: Path, report: Report
) -> Streams:
    """Connect and shake hands, and report the certificates.

    Raises:
        OSError: it is refused, or the certificate does not verify; its date is reported then too.
    """
    closing: dict[str, Any] = {"server_hostname": name, "ssl_shutdown_timeout": _CLOSING_S}
    try:
        context = certificate.context(tls, home)
        streams = await asyncio.open_connection(**where, ssl=context, **closing)
    except ssl.SSLCertVerificationError:
        report.values["storewatch_probe_tls_verified"] = 0
        blind = certificate.context(tls.model_copy(update={"insecure_skip_verify": True}), home)
        _, writer = await asyncio.open_connection(**where, ssl=blind, **closing)
        sent = certificate.sent_certificates(writer.get_extra_info("ssl_object"))
        writer.close()
        found = certificate.facts(sent, None)
        report.values["probe_ssl_earliest_cert_expiry"] = found.earliest
        raise
    report_tls(streams[1], tls, home, report)
    return streams


def report_tls(writer: asyncio.StreamWriter, tls: TlsConfig, home: Path, report: Report) -> None:
    """Report the certificates and the version of a connection that speaks TLS."""
    secured = writer.get_extra_info("ssl_object")
    trust = None
    if not tls.insecure_skip_verify:
        trust = certificate.trust(tls, home)
        report.values["storewatch_probe_tls_verified"] = 1
    found = certificate.facts(certificate.sent_certificates(secured), trust)
    certificate.report_facts(found, secured.version(), secured.cipher()[0], report)


async def _converse(streams: Streams, entry: QueryResponse, report: Report) -> bool:
    reader, writer = streams
    send = entry.send
    if entry.expect is not None:
        match = None
        while match is None and (line := await reader.readline()):
            text = line.rstrip(b"\r\n").decode("utf-8", "replace")
            report.step("read", line=text)
            match = entry.expect.search(text)
        if match is None:
            report.values["probe_failed_due_to_regex"] = 1
            return report.fail(f"no line matches {entry.expect.pattern!r}")
        report.values["probe_failed_due_to_regex"] = 0
        send = expand(send, match)
    if send:
        report.step("sending", line=send)
        writer.write(f"{send}\n".encode())
        await writer.drain()
    return True


def expand(template: str, match: Any) -> str:
    """Return a template with $1, ${1} and ${name} replaced by what matched, $$ by a dollar sign.

    A group that does not exist is empty. Source: Go's Regexp.Expand.
    """

    def value(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError, re.error):
            return ""

    return _NAME.sub(value, template)
