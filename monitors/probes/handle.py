"""A reusable easy handle of libcurl, made for one module: what does not change is set once."""

import re
from pathlib import Path

import pycurl

from monitors.probes.body import Body
from monitors.probes.certificate import OBSOLETE_CIPHERS, Trust, obsolete, system_bundle
from monitors.probes.format import HttpModule, TlsConfig
from monitors.probes.http_checks import Headers, looks_at_headers, patterns_over_body
from monitors.probes.modules import is_telling
from monitors.probes.report import Report

VERSIONS = {
    0: ("HTTP/0", "0"),
    1: ("HTTP/1.0", "1"),
    2: ("HTTP/1.1", "1.1"),
    3: ("HTTP/2.0", "2"),
}
"""libcurl's CURL_HTTP_VERSION_* of a response -> how Go writes it, and as a number."""

_AGENT = "storewatch"
_SPOKEN = "SSL connection using "
_TOLD_HEADER = re.compile(r"\[([\w-]+): |^\w+ (cookie) ")
"""A header where libcurl tells of it itself: HTTP/2 requests, cookies that it keeps."""
_TLS_MINIMUM = {
    "TLS10": pycurl.SSLVERSION_TLSv1_0,
    "TLS11": pycurl.SSLVERSION_TLSv1_1,
    "TLS12": pycurl.SSLVERSION_TLSv1_2,
    "TLS13": pycurl.SSLVERSION_TLSv1_3,
}
_TLS_MAXIMUM = {
    "TLS10": pycurl.SSLVERSION_MAX_TLSv1_0,
    "TLS11": pycurl.SSLVERSION_MAX_TLSv1_1,
    "TLS12": pycurl.SSLVERSION_MAX_TLSv1_2,
    "TLS13": pycurl.SSLVERSION_MAX_TLSv1_3,
}


class Handle:
    """One easy handle and what arrives through it.

    `spoken` is the TLS version and cipher suite of the newest transfer, as OpenSSL names them.
    """

    __slots__ = (
        "_asked",
        "_connect_to",
        "_limit_ms",
        "_lines",
        "_report",
        "_trust",
        "_verbose",
        "body",
        "curl",
        "spoken",
    )

    def __init__(self, settings: HttpModule, home: Path) -> None:
        self._lines: list[bytes] = []
        self._trust: Trust | None = None
        self._asked: tuple[str, bytes, tuple[str, ...]] | None = None
        self._connect_to = self._verbose = False
        self._limit_ms = 0
        self._report: Report | None = None
        self.spoken = ("", "")
        keep = patterns_over_body(settings)
        self.body = Body(settings.body_size_limit, settings.compression, keep=keep)
        curl = self.curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.FRESH_CONNECT, 1)
        curl.setopt(pycurl.FORBID_REUSE, 1)
        curl.setopt(pycurl.PROXY, "")  # libcurl would take one from the environment
        curl.setopt(pycurl.USERAGENT, _AGENT)
        curl.setopt(pycurl.OPT_FILETIME, 1)
        curl.setopt(pycurl.WRITEFUNCTION, self.body.write)
        curl.setopt(pycurl.DEBUGFUNCTION, self._on_debug)
        if looks_at_headers(settings):
            curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        if settings.redirects:
            curl.setopt(pycurl.COOKIEFILE, "")
        version = pycurl.CURL_HTTP_VERSION_2TLS
        if not settings.enable_http2:
            version = pycurl.CURL_HTTP_VERSION_1_1
        curl.setopt(pycurl.HTTP_VERSION, version)
        set_tls(curl, settings.tls_config, home)

    def aim(self, url: str, connect_to: str, report: Report) -> None:
        """Aim at a URL; `connect_to` is the address to connect to where it is not in the URL."""
        curl = self.curl
        self.body.reset()
        self._lines.clear()
        self._report = report
        curl.setopt(pycurl.URL, url)
        limit_ms = int(report.remaining_s * 1000) + 1
        if limit_ms != self._limit_ms:
            curl.setopt(pycurl.TIMEOUT_MS, limit_ms)
            self._limit_ms = limit_ms
        if connect_to:
            bracketed = f"[{connect_to}]" if ":" in connect_to else connect_to
            curl.setopt(pycurl.CONNECT_TO, [f"::{bracketed}:"])
            self._connect_to = True
        elif self._connect_to:
            curl.unsetopt(pycurl.CONNECT_TO)
            self._connect_to = False
        verbose = report.explain or url.startswith("https:")
        if verbose != self._verbose:
            curl.setopt(pycurl.VERBOSE, verbose)
            self._verbose = verbose

    def verify_by(self, trust: Trust) -> None:
        """Verify by CA certificates of a file that may change while this handle lives."""
        if trust is not self._trust:
            self.curl.setopt(pycurl.CAINFO_BLOB, trust.pem)
            self._trust = trust

    def ask(self, method: str, content: bytes, headers: tuple[str, ...]) -> None:
        """Set the request: its method, body and headers as lines."""
        asked = (method, content, headers)
        if asked == self._asked:
            return
        self._asked = asked
        curl = self.curl
        curl.setopt(pycurl.HTTPHEADER, list(headers) or None)  # [] would keep the last ones
        curl.setopt(pycurl.NOBODY, method == "HEAD")
        if content or method in {"POST", "PUT", "PATCH"}:
            curl.setopt(pycurl.POSTFIELDS, content)
        elif method != "HEAD":
            curl.setopt(pycurl.HTTPGET, 1)
        curl.setopt(pycurl.CUSTOMREQUEST, method)

    def headers(self) -> Headers:
        """Return the headers of the newest response where the module looks at them.

        Informational responses before it and trailers after it are left out.
        """
        found: Headers = []
        reading = True
        for line in self._lines:
            if line.startswith(b"HTTP/"):
                found, reading = [], True
            elif not line.strip():
                reading = False
            elif reading:
                name, _, value = line.decode("latin-1").partition(":")
                found.append((name.strip().lower(), value.strip()))
        return found

    def certificates(self) -> tuple[bytes, ...]:
        """Return the certificates (PEM) that the server sent, its own first."""
        sent = self.curl.getinfo_raw(pycurl.INFO_CERTINFO)
        return tuple(dict(one)[b"Cert"] for one in sent)

    def _on_debug(self, kind: int, data: bytes) -> None:
        text = data.decode("latin-1").rstrip()
        if kind == pycurl.INFOTYPE_TEXT and text.startswith(_SPOKEN):
            version, _, cipher = text.removeprefix(_SPOKEN).partition(" / ")
            self.spoken = (version, cipher.partition(" / ")[0])
        if self._report is None or not self._report.explain:
            return
        if kind == pycurl.INFOTYPE_TEXT:
            self._report.step(_without_secret(text))
        elif kind in {pycurl.INFOTYPE_HEADER_IN, pycurl.INFOTYPE_HEADER_OUT}:
            mark = "<" if kind == pycurl.INFOTYPE_HEADER_IN else ">"
            for line in text.splitlines():
                name, separator, _ = line.partition(":")
                told = f"{name}: <secret>" if separator and is_telling(name) else line
                self._report.step(f"{mark} {told}")


def _without_secret(text: str) -> str:
    """Return a line of libcurl's own as an explanation may show it."""
    found = _TOLD_HEADER.search(text)
    if found is None or not is_telling(found[0]):
        return text
    return f"{text[: found.end()].rstrip(': ')}: <secret>"


def set_tls(curl: pycurl.Curl, config: TlsConfig, home: Path) -> None:
    """Set how TLS is spoken and verified; `ca_file` is set when it is known to be readable."""
    curl.setopt(pycurl.OPT_CERTINFO, 1)
    curl.setopt(pycurl.SSL_SESSIONID_CACHE, 0)  # each probe shakes hands in full
    minimum = _TLS_MINIMUM[config.min_version or "TLS12"]
    curl.setopt(pycurl.SSLVERSION, minimum | _TLS_MAXIMUM[config.max_version or "TLS13"])
    if obsolete(config):
        curl.setopt(pycurl.SSL_CIPHER_LIST, OBSOLETE_CIPHERS)
    if config.insecure_skip_verify:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    elif config.ca_file is None:
        # By path, so that libcurl keeps it parsed: the system's bundle takes 10 ms.
        curl.setopt(pycurl.CAINFO, str(system_bundle()))
    if config.cert_file and config.key_file:
        curl.setopt(pycurl.SSLCERT, str(home / config.cert_file))
        curl.setopt(pycurl.SSLKEY, str(home / config.key_file))
