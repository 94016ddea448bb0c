"""What a module asks of every target by HTTP: made once, unless files are part of it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from monitors.probes.format import HttpModule
from monitors.probes.handle import Handle
from monitors.probes.http_checks import looks_at_headers
from monitors.probes.resolve import address_hash, literal
from monitors.probes.url import Url, basic_credentials, parse

SPARE_HANDLES = 32
"""Kept for each module; a handle holds some 20 KB."""
_REMEMBERED = 4096
"""Targets kept for each module."""

ZEROS: dict[str, int | str] = dict.fromkeys(
    (
        "probe_success",
        "probe_ip_protocol",
        "probe_ip_addr_hash",
        "probe_failed_due_to_regex",
        "probe_http_content_length",
        "probe_http_redirects",
        "probe_http_ssl",
        "probe_http_status_code",
        "probe_http_uncompressed_body_length",
        "probe_http_version",
    ),
    0,
)


@dataclass(frozen=True, slots=True)
class Asking:
    """A request without its URL. `server_name` is the name in the certificate, "" for the host."""

    method: str
    content: bytes
    headers: dict[str, str]
    server_name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aim:
    """A target and how it is first asked, made once.

    `address` is known where the target is a literal one, else "". `values` are the metrics before
    anything has happened.
    """

    url: Url
    asking: Asking
    address: str
    values: dict[str, int | str]


@dataclass(slots=True)
class Plan:
    """One module with its spare handles and the targets that were asked by it.

    `changing` says that the request is made of files that may change; `looks` that response
    headers matter.
    """

    settings: HttpModule
    home: Path
    changing: bool = field(init=False)
    looks: bool = field(init=False)
    spare: list[Handle] = field(default_factory=list)
    aims: dict[str, Aim] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        files = (
            settings.body_file,
            settings.bearer_token_file,
            settings.basic_auth and settings.basic_auth.password_file,
            settings.authorization and settings.authorization.credentials_file,
        )
        self.changing = any(files)
        self.looks = looks_at_headers(settings)

    def aim(self, target: str) -> Aim:
        """Return how a target is asked.

        Raises:
            ValueError: it is no URL.
            OSError: a file of the request cannot be read.
        """
        aim = self.aims.get(target)
        if aim is None:
            aim = self._aim(target)
            if not self.changing:
                if len(self.aims) >= _REMEMBERED:
                    self.aims.clear()
                self.aims[target] = aim
        return aim

    def _aim(self, target: str) -> Aim:
        url, asking, values = parse(target), _asking(self.settings, self.home), ZEROS.copy()
        if url.credentials and "Authorization" not in asking.headers:
            asking = with_headers(asking, {**asking.headers, "Authorization": url.credentials})
        address, ip = literal(url.host, self.settings)
        if address:
            values["probe_ip_protocol"] = ip
            values["probe_ip_addr_hash"] = address_hash(address)
        return Aim(url, asking, address, values)

    def take(self) -> Handle:
        """Return a handle that nobody uses."""
        return self.spare.pop() if self.spare else Handle(self.settings, self.home)

    def give_back(self, handle: Handle, *, clean: bool) -> None:
        """Keep a handle for the next probe; one that is not clean has learnt something."""
        if clean and len(self.spare) < SPARE_HANDLES:
            self.spare.append(handle)
        else:
            handle.curl.close()


def _asking(settings: HttpModule, home: Path) -> Asking:
    headers = {name.title(): value for name, value in settings.headers.items()}
    if credentials := _credentials(settings, home):
        headers.setdefault("Authorization", credentials)
    content = settings.body.encode()
    if settings.body_file:
        content = (home / settings.body_file).read_bytes()
    server_name = settings.tls_config.server_name or headers.get("Host", "").partition(":")[0]
    return Asking(settings.method, content, headers, server_name, header_lines(headers))


def header_lines(headers: dict[str, str]) -> tuple[str, ...]:
    """Return request headers as libcurl takes them, without those that it would add unasked."""
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
    lines += [f"{name}:" for name in ("Content-Type", "Expect") if name not in headers]
    return tuple(lines)


def _credentials(settings: HttpModule, home: Path) -> str:
    if settings.basic_auth is not None:
        basic = settings.basic_auth
        password = basic.password.get_secret_value() if basic.password else ""
        if basic.password_file:
            password = (home / basic.password_file).read_text().strip()
        return basic_credentials(basic.username, password)
    kind, given, file = "Bearer", settings.bearer_token, settings.bearer_token_file
    if settings.authorization is not None:
        found = settings.authorization
        kind, given, file = found.type.strip() or kind, found.credentials, found.credentials_file
    if file is not None:
        return f"{kind} {(home / file).read_text().strip()}"
    return f"{kind} {given.get_secret_value()}" if given is not None else ""


def redirected(asking: Asking, last: Url, url: Url, status: int) -> Asking:
    """Return what a redirect from one URL to another is asked with.

    Source: Go's net/http, redirectBehavior: all but 307 and 308 drop the body, and a method that
    is neither GET nor HEAD becomes GET. Credentials stay with the host they were meant for.
    """
    dropped = set()
    if url.netloc != last.netloc:
        dropped.add("Host")
    if url.host != last.host:
        dropped |= {"Authorization", "Cookie"}
    headers = {name: value for name, value in asking.headers.items() if name not in dropped}
    if "Host" in dropped:
        asking = replace(asking, server_name="")
    if status not in {307, 308}:
        method = asking.method if asking.method in {"GET", "HEAD"} else "GET"
        asking = replace(asking, method=method, content=b"")
    return with_headers(asking, headers)


def with_headers(asking: Asking, headers: dict[str, str]) -> Asking:
    """Return the same request with other headers."""
    return replace(asking, headers=headers, lines=header_lines(headers))
