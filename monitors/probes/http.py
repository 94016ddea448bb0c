"""HTTP probes on libcurl: a fresh connection each, redirects followed here, phases summed.

Source for names, order and meaning: blackbox_exporter's prober/http.go. Redirects are followed
here and not by libcurl, because each host is resolved by the module's IP protocol and because
credentials must not go to another host.
"""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pycurl

from monitors.probes import certificate
from monitors.probes.handle import VERSIONS, Handle
from monitors.probes.http_checks import Response, judge, patterns_over_body
from monitors.probes.modules import NamedModule
from monitors.probes.plan import ZEROS, Asking, Plan, header_lines, redirected
from monitors.probes.report import Report
from monitors.probes.resolve import ResolveError, address_of, resolve, version
from monitors.probes.transfers import Result, Transfers
from monitors.probes.url import Url, parse, with_host

_PHASED = "probe_http_duration_seconds"
_NO_TIME = dict.fromkeys(("resolve", "connect", "tls", "processing", "transfer"), 0.0)
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
"""Source: blackbox_exporter."""
_MOST_PLANS = 1000
"""Modules, and virtual hosts that they were asked for, whose plans are kept."""
_UNREAD = "the headers are longer than libcurl reads, and what follows them is lost"
"""Source: libcurl's MAX_HTTP_RESP_HEADER_SIZE, 300 KB, and CURL_MAX_HTTP_HEADER, 100 KB for one."""
_TOO_LARGE = "Too large response headers"
"""What libcurl says of headers that are many; of one that is long it says nothing."""


class HttpProber:
    """Probes by HTTP.

    Args:
        home: the state folder; files of modules lie below it.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._transfers = Transfers()
        self._plans: dict[str, Plan] = {}

    def close(self) -> None:
        """Break off what is under way."""
        self._transfers.close()

    async def probe(self, target: str, module: NamedModule, report: Report) -> bool:
        """Probe a target once; return whether that was a success."""
        plan = self._plans.get(module.name) or self._plan(module)
        report.phased, report.phases = _PHASED, _NO_TIME.copy()
        try:
            aim = plan.aim(target)
        except (ValueError, OSError) as error:
            report.values.update(ZEROS)
            return report.fail(str(error))
        report.values = aim.values.copy()
        if address := aim.address:
            report.seconds["probe_dns_lookup_time_seconds"] = 0.0
        else:
            address = await resolve(aim.url.host, plan.settings, report)
            report.phases["resolve"] = report.seconds["probe_dns_lookup_time_seconds"]
            if not address:
                return False
        handle, whole = plan.take(), False
        try:
            success = await self._follow(aim.url, address, aim.asking, plan, handle, report)
            whole = True
        finally:
            if not whole:
                self._transfers.abandon(handle.curl)
            plan.give_back(handle, clean=whole and not report.values["probe_http_redirects"])
        return success

    def _plan(self, module: NamedModule) -> Plan:
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[module.name] = Plan(module.settings.http, self._home)
        return plan

    async def _follow(
        self, url: Url, address: str, asking: Asking, plan: Plan, handle: Handle, report: Report
    ) -> bool:
        """Ask, follow redirects as far as the module lets, and judge the final response."""
        redirects = 0
        while True:
            try:
                swapped = self._aim(url, address, asking, plan, handle, report)
            except OSError as error:
                return report.fail(f"ca_file: {error}")
            result = await self._transfers.start(handle.curl)
            _add_phases(handle, url.secure, report.phases)
            status = handle.curl.getinfo(pycurl.RESPONSE_CODE)
            if status not in _REDIRECTS or result[0]:
                break
            location = _location(url, swapped, handle)
            if not location:
                break
            redirects += 1
            report.values["probe_http_redirects"] = redirects
            report.step("redirected", to=location)
            if not plan.settings.redirects or redirects > _MOST_REDIRECTS:
                report.step("the redirect is not followed")
                break
            try:
                last, url = url, _redirected(location)
                asking = redirected(asking, last, url, status)
                before = report.remaining_s
                address = await address_of(url.host, plan.settings, report)
            except (ResolveError, ValueError) as error:
                return report.fail(str(error))
            took = before - report.remaining_s
            report.phases["resolve"] += took
        return self._conclude(url, status, result, plan, handle, report)

    def _aim(
        self, url: Url, address: str, asking: Asking, plan: Plan, handle: Handle, report: Report
    ) -> bool:
        """Make a handle ready; return whether the certificate's name took the host's place."""
        text, lines = url.text, asking.lines
        connect_to = "" if version(url.host) else address
        swapped = False
        if url.secure:
            config = plan.settings.tls_config
            if config.ca_file and not config.insecure_skip_verify:
                handle.verify_by(certificate.trust(config, self._home))
            if asking.server_name and asking.server_name != url.host:
                swapped = True
                text, connect_to = with_host(text, asking.server_name), address
                lines = header_lines({"Host": url.netloc, **asking.headers})
        handle.aim(text, connect_to, report)
        handle.ask(asking.method, asking.content, lines)
        if report.explain:
            report.step("asking", method=asking.method, url=url.text, address=address)
        return swapped

    def _conclude(
        self, url: Url, status: int, result: Result, plan: Plan, handle: Handle, report: Report
    ) -> bool:
        """Report the final response and judge it."""
        code, message = result
        if not status:
            if code == pycurl.E_PEER_FAILED_VERIFICATION:
                _report_unverified(handle, report)
            return report.fail(message or "the connection was closed without an answer")
        info, body, values = handle.curl.getinfo, handle.body, report.values
        body.end()
        values["probe_http_status_code"] = status
        values["probe_http_content_length"] = info(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        values["probe_http_uncompressed_body_length"] = body.size
        if (modified := info(pycurl.INFO_FILETIME)) >= 0:
            values["probe_http_last_modified_timestamp_seconds"] = modified
        spoken, values["probe_http_version"] = VERSIONS[info(pycurl.INFO_HTTP_VERSION)]
        if url.secure:
            self._report_tls(plan, handle, report)
        headers = handle.headers() if plan.looks else []
        broken = body.error or message
        if code and (not broken or message.startswith(_TOO_LARGE)):
            report.step(_UNREAD)
            broken = _UNREAD if plan.looks or patterns_over_body(plan.settings) else ""
        response = Response(status, spoken, url.secure, headers, body, broken)
        return judge(plan.settings, response, report)

    def _report_tls(self, plan: Plan, handle: Handle, report: Report) -> None:
        report.values["probe_http_ssl"] = 1
        trust = None
        if not plan.settings.tls_config.insecure_skip_verify:
            trust = certificate.trust(plan.settings.tls_config, self._home)
            report.values["storewatch_probe_tls_verified"] = 1
        found = certificate.facts(handle.certificates(), trust)
        certificate.report_facts(found, *handle.spoken, report)


def _report_unverified(handle: Handle, report: Report) -> None:
    """Report the date of a certificate that does not verify.

    blackbox_exporter says nothing then, and an alert on the date falls silent on the day the
    certificate expires. libcurl shakes hands before it verifies, so the date is known.
    """
    report.values["storewatch_probe_tls_verified"] = 0
    if sent := handle.certificates():
        found = certificate.facts(sent, None)
        report.values["probe_ssl_earliest_cert_expiry"] = found.earliest


def _location(url: Url, swapped: bool, handle: Handle) -> str:
    """Return where a response redirects to, "" when it does not say."""
    location = str((handle.curl.getinfo_raw(pycurl.REDIRECT_URL) or b"").decode("latin-1"))
    if swapped and location:
        parts = urlsplit(location)
        asked = urlsplit(handle.curl.getinfo(pycurl.EFFECTIVE_URL))
        if parts.netloc == asked.netloc:
            return urlunsplit(parts._replace(netloc=url.netloc))
    return location


def _redirected(location: str) -> Url:
    if not location.startswith(("http://", "https://")):
        raise ValueError(f"the redirect leads to {location!r}, which is neither http nor https")
    return parse(location)


def _add_phases(handle: Handle, secure: bool, phases: dict[str, float]) -> None:
    """Add libcurl's moments, in seconds from the start of a request, as blackbox's phases."""
    info = handle.curl.getinfo
    connected = ready = info(pycurl.CONNECT_TIME)
    if not connected:
        return
    phases["connect"] += connected
    if secure and (secured := info(pycurl.APPCONNECT_TIME)):
        phases["tls"] += secured - connected
        ready = secured
    if first := info(pycurl.STARTTRANSFER_TIME):
        phases["processing"] += first - ready
        phases["transfer"] += info(pycurl.TOTAL_TIME) - first
