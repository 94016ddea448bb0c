"""blackbox_exporter's module format as typed, frozen models: what a module may say.

Source: blackbox_exporter's CONFIGURATION.md (0.23 to 0.27), prometheus/common's HTTPClientConfig.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import dns.exception
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import re2
from pydantic import BeforeValidator, Field, SecretStr, model_validator

from storewatch.schema import Duration, Section

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)?")
_SIZE_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def _pattern(value: object) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(str(value), options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise ValueError(f"not an RE2 pattern ({reason}); such as ^ready$") from None


def _size(value: object) -> int:
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise ValueError("not a size; write a number with its unit, such as 10MB")
    return int(float(match[1]) * 1024 ** _SIZE_UNITS[(match[2] or "").rstrip("iB")])


def _scalar(value: object) -> object:
    """Take a number or a bool of YAML as the text that was written, as Go's YAML does."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Pattern = Annotated[Any, BeforeValidator(_pattern)]
"""A compiled pattern with RE2's syntax and meaning, which are Go's."""

Size = Annotated[int, BeforeValidator(_size)]
"""Bytes, written as 10MB; K, M and G are powers of 1024 as in blackbox_exporter."""

Text = Annotated[str, BeforeValidator(_scalar)]

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsConfig(Section):
    """How a server is verified. Relative files lie below the state folder."""

    insecure_skip_verify: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; give both or neither")
        return self


class BasicAuth(Section):
    """A name and its password, written here or in a file."""

    username: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None


class Authorization(Section):
    """The header Authorization: a type and its credentials, written here or in a file."""

    type: str = "Bearer"
    credentials: SecretStr | None = None
    credentials_file: Path | None = None


class HeaderMatch(Section):
    """A pattern over the values of one response header."""

    header: str = Field(min_length=1)
    regexp: Pattern
    allow_missing: bool = False


class IpChoice(Section):
    """Which IP protocol is preferred, and whether the other one will do."""

    preferred_ip_protocol: Literal["ip4", "ip6"] = "ip6"
    ip_protocol_fallback: bool = True


class HttpModule(IpChoice):
    """What an HTTP probe asks for and what it takes for a success."""

    valid_status_codes: tuple[int, ...] = ()
    valid_http_versions: tuple[Literal["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"], ...] = ()
    method: Annotated[str, BeforeValidator(_upper)] = Field(default="GET", pattern=r"^[A-Z]+$")
    headers: dict[str, Text] = {}
    body: str = ""
    body_file: Path | None = None
    body_size_limit: Size = 0
    compression: Literal["", "identity", "gzip", "deflate", "br"] = ""
    follow_redirects: bool = True
    no_follow_redirects: bool | None = None
    fail_if_ssl: bool = False
    fail_if_not_ssl: bool = False
    fail_if_body_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_body_not_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_header_matches: tuple[HeaderMatch, ...] = ()
    fail_if_header_not_matches: tuple[HeaderMatch, ...] = ()
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: SecretStr | None = None
    bearer_token_file: Path | None = None
    tls_config: TlsConfig = TlsConfig()
    enable_http2: bool = True

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        bearer = (self.bearer_token, self.bearer_token_file)
        accounts = (self.basic_auth, self.authorization, *bearer)
        if sum(one is not None for one in accounts) > 1:
            raise ValueError("at most one of basic_auth, authorization and bearer_token(_file)")
        if self.body and self.body_file:
            raise ValueError("at most one of body and body_file")
        return self

    @property
    def redirects(self) -> bool:
        """Whether redirects are followed; the old key wins as in blackbox_exporter."""
        if self.no_follow_redirects is not None:
            return not self.no_follow_redirects
        return self.follow_redirects


class QueryResponse(Section):
    """One step of a conversation: wait for a line, then send one, then speak TLS."""

    expect: Pattern | None = None
    send: str = ""
    starttls: bool = False


class TcpModule(IpChoice):
    """What a TCP probe says and what it waits for."""

    source_ip_address: str = ""
    query_response: tuple[QueryResponse, ...] = ()
    tls: bool = False
    tls_config: TlsConfig = TlsConfig()


class RecordChecks(Section):
    """Patterns over the resource records of one section of an answer."""

    fail_if_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_all_match_regexp: tuple[Pattern, ...] = ()
    fail_if_not_matches_regexp: tuple[Pattern, ...] = ()
    fail_if_none_matches_regexp: tuple[Pattern, ...] = ()


class DnsModule(IpChoice):
    """What a DNS probe asks a name server, and which answers are right."""

    source_ip_address: str = ""
    transport_protocol: Literal["udp", "tcp"] = "udp"
    dns_over_tls: bool = False
    tls_config: TlsConfig = TlsConfig()
    query_name: str = Field(min_length=1)
    query_type: str = "ANY"
    query_class: str = "IN"
    recursion_desired: bool = True
    valid_rcodes: tuple[str, ...] = ("NOERROR",)
    validate_answer_rrs: RecordChecks = RecordChecks()
    validate_authority_rrs: RecordChecks = RecordChecks()
    validate_additional_rrs: RecordChecks = RecordChecks()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        try:
            dns.name.from_text(self.query_name)
            dns.rdatatype.from_text(self.query_type)
            dns.rdataclass.from_text(self.query_class)
            for code in self.valid_rcodes:
                dns.rcode.from_text(code)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(
                f"{str(error).rstrip('.')}; write query_type: A, query_class: IN,"
                " valid_rcodes: [NOERROR]"
            ) from None
        if self.dns_over_tls and self.transport_protocol != "tcp":
            raise ValueError("dns_over_tls needs transport_protocol: tcp")
        return self


class IcmpModule(IpChoice):
    """What an ICMP echo looks like."""

    source_ip_address: str = ""
    payload_size: int = Field(default=0, ge=0, le=65000)
    dont_fragment: bool = False
    ttl: int = Field(default=64, ge=0, le=255)


class Module(Section):
    """One way to probe, known by its name; `timeout` bounds the whole of it, in seconds."""

    prober: Literal["http", "tcp", "dns", "icmp"]
    timeout: Duration | None = None
    http: HttpModule = HttpModule()
    tcp: TcpModule = TcpModule()
    dns: DnsModule | None = None
    icmp: IcmpModule = IcmpModule()

    @model_validator(mode="after")
    def _dns_has_a_question(self) -> Self:
        if self.prober == "dns" and self.dns is None:
            raise ValueError("a dns prober needs a section dns with a query_name")
        return self
