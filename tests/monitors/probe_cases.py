"""Targets and modules that both exporters are asked for, what is compared, what may differ."""

from dataclasses import dataclass
from typing import Any

from probing import dns, http, secured, tcp

HTTP = "http://127.0.0.1:{http}"


@dataclass(frozen=True)
class Case:
    """What is probed and how."""

    target: str
    module: dict[str, Any]
    hostname: str = ""


CASES: dict[str, Case] = {
    "a plain page": Case(f"{HTTP}/ok", http()),
    "no scheme in the target": Case("127.0.0.1:{http}/ok", http()),
    "204 without a body": Case(f"{HTTP}/empty", http()),
    "404": Case(f"{HTTP}/missing", http()),
    "404 that is wanted": Case(f"{HTTP}/missing", http(valid_status_codes=[404])),
    "500": Case(f"{HTTP}/status/500", http()),
    "503 among several that are wanted": Case(
        f"{HTTP}/status/503", http(valid_status_codes=[200, 503])
    ),
    "HTTP 1.0": Case(f"{HTTP}/http10", http()),
    "HTTP 1.0 where 1.1 is wanted": Case(f"{HTTP}/http10", http(valid_http_versions=["HTTP/1.1"])),
    "HTTP 1.1 where it is wanted": Case(f"{HTTP}/ok", http(valid_http_versions=["HTTP/1.1"])),
    "one redirect": Case(f"{HTTP}/once", http()),
    "two redirects": Case(f"{HTTP}/twice", http()),
    "a redirect that is not followed": Case(f"{HTTP}/once", http(follow_redirects=False)),
    "a redirect that is wanted": Case(
        f"{HTTP}/once", http(follow_redirects=False, valid_status_codes=[302])
    ),
    "endless redirects": Case(f"{HTTP}/loop", http()),
    "a redirect to nobody": Case(f"{HTTP}/nowhere", http()),
    "a post with a body": Case(f"{HTTP}/post", http(method="POST", body="ping")),
    "a post without its body": Case(f"{HTTP}/post", http(method="POST")),
    "a header that is asked for": Case(f"{HTTP}/headers", http(headers={"X-Probe": "yes"})),
    "a header that is not sent": Case(f"{HTTP}/headers", http()),
    "a host of its own": Case(f"{HTTP}/host", http(headers={"Host": "shop.example"})),
    "a virtual host that the request names": Case(f"{HTTP}/host", http(), hostname="shop.example"),
    "another virtual host than the one that is wanted": Case(
        f"{HTTP}/host", http(), hostname="other.example"
    ),
    "basic auth": Case(
        f"{HTTP}/basic", http(basic_auth={"username": "prober", "password": "sesame"})
    ),
    "basic auth with the wrong password": Case(
        f"{HTTP}/basic", http(basic_auth={"username": "prober", "password": "open"})
    ),
    "bearer token": Case(f"{HTTP}/bearer", http(bearer_token="sesame")),
    "authorization": Case(f"{HTTP}/bearer", http(authorization={"credentials": "sesame"})),
    "no authorization": Case(f"{HTTP}/bearer", http()),
    "a body that must match": Case(f"{HTTP}/ok", http(fail_if_body_not_matches_regexp=["^hello"])),
    "a body that does not match": Case(
        f"{HTTP}/ok", http(fail_if_body_not_matches_regexp=["^goodbye"])
    ),
    "a body that must not match": Case(f"{HTTP}/ok", http(fail_if_body_matches_regexp=["wor.d"])),
    "a body that rightly does not match": Case(
        f"{HTTP}/ok", http(fail_if_body_matches_regexp=["error"])
    ),
    "bytes that are no UTF-8, matched": Case(
        f"{HTTP}/latin", http(fail_if_body_not_matches_regexp=["hello"])
    ),
    "a header that must match": Case(
        f"{HTTP}/ok", http(fail_if_header_not_matches=[{"header": "X-Shop", "regexp": "open"}])
    ),
    "a header that does not match": Case(
        f"{HTTP}/ok", http(fail_if_header_not_matches=[{"header": "X-Shop", "regexp": "closed"}])
    ),
    "a header that is missing": Case(
        f"{HTTP}/ok", http(fail_if_header_not_matches=[{"header": "X-None", "regexp": "."}])
    ),
    "a header that may be missing": Case(
        f"{HTTP}/ok",
        http(
            fail_if_header_not_matches=[{"header": "X-None", "regexp": ".", "allow_missing": True}]
        ),
    ),
    "a header that must not match": Case(
        f"{HTTP}/ok",
        http(fail_if_header_matches=[{"header": "X-Shop", "regexp": "open"}]),
    ),
    "last modified": Case(f"{HTTP}/modified", http()),
    "gzip that is asked for": Case(
        f"{HTTP}/gzip",
        http(
            compression="gzip",
            headers={"Accept-Encoding": "gzip"},
            fail_if_body_not_matches_regexp=["hello"],
        ),
    ),
    "compression alone asks for nothing": Case(f"{HTTP}/gzip-or-406", http(compression="gzip")),
    "gzip that is not unpacked": Case(
        f"{HTTP}/gzip",
        http(headers={"Accept-Encoding": "gzip"}, fail_if_body_not_matches_regexp=["hello"]),
    ),
    "chunks": Case(f"{HTTP}/chunked", http(fail_if_body_not_matches_regexp=["hello world"])),
    "a body of 8 MB": Case(f"{HTTP}/large", http()),
    "a body above its limit": Case(f"{HTTP}/large", http(body_size_limit="1MB")),
    "a body within its limit": Case(f"{HTTP}/ok", http(body_size_limit="1MB")),
    "a header of 1 MB": Case(f"{HTTP}/huge-header", http()),
    "headers of 1 MB": Case(f"{HTTP}/many-headers", http()),
    "a header of 1 MB before a body that must not match": Case(
        f"{HTTP}/huge-header", http(fail_if_body_matches_regexp=["hello"])
    ),
    "a header of 1 MB before a body that must match": Case(
        f"{HTTP}/huge-header", http(fail_if_body_not_matches_regexp=["hello"])
    ),
    "a bomb": Case(f"{HTTP}/bomb/gzip", http("5s", compression="gzip")),
    "a bomb above its limit": Case(
        f"{HTTP}/bomb/gzip", http(compression="gzip", body_size_limit="1MB")
    ),
    "a bomb of deflate above its limit": Case(
        f"{HTTP}/bomb/deflate", http(compression="deflate", body_size_limit="1MB")
    ),
    "a bomb of brotli above its limit": Case(
        f"{HTTP}/bomb/br", http(compression="br", body_size_limit="1MB")
    ),
    "a bomb that is not unpacked": Case(f"{HTTP}/bomb/gzip", http()),
    "a server that drips": Case(f"{HTTP}/drip", http("700ms")),
    "a server that hangs": Case(f"{HTTP}/hang", http("500ms")),
    "a server that closes early": Case(f"{HTTP}/early", http()),
    "a server that says nothing": Case(f"{HTTP}/silence", http()),
    "no HTTP": Case(f"{HTTP}/garbage", http()),
    "nobody there": Case("http://127.0.0.1:{nobody}/", http()),
    "a name that does not exist": Case("http://no-such-host.invalid/", http()),
    "IPv6": Case("http://[::1]:{http6}/ok", http(preferred_ip_protocol="ip6")),
    "TLS": Case("https://localhost:{good}/ok", http(**secured())),
    "TLS that is wanted": Case(
        "https://localhost:{good}/ok", http(fail_if_not_ssl=True, **secured())
    ),
    "TLS that must not be": Case(
        "https://localhost:{good}/ok", http(fail_if_ssl=True, **secured())
    ),
    "no TLS where it is wanted": Case(f"{HTTP}/ok", http(fail_if_not_ssl=True)),
    "an expired certificate": Case("https://localhost:{expired}/ok", http(**secured())),
    "a certificate for another name": Case("https://localhost:{wrong}/ok", http(**secured())),
    "a certificate of another name that is expected": Case(
        "https://localhost:{wrong}/ok", http(**secured(server_name="elsewhere.example"))
    ),
    "https by a virtual host that the certificate names": Case(
        "https://localhost:{wrong}/ok", http(**secured()), hostname="elsewhere.example"
    ),
    "a certificate of a stranger": Case("https://localhost:{stranger}/ok", http(**secured())),
    "a stranger whom nobody verifies": Case(
        "https://localhost:{stranger}/ok", http(tls_config={"insecure_skip_verify": True})
    ),
    "TLS spoken to plain HTTP": Case("https://127.0.0.1:{http}/ok", http(**secured())),
    "plain HTTP spoken to TLS": Case("http://localhost:{good}/ok", http()),
    "tcp that connects": Case("127.0.0.1:{tcp}", tcp()),
    "tcp that greets": Case("127.0.0.1:{tcp}", tcp({"expect": "^220 "})),
    "tcp that greets otherwise": Case("127.0.0.1:{tcp}", tcp({"expect": "^SSH"})),
    "tcp that answers": Case(
        "127.0.0.1:{tcp}",
        tcp({"expect": "^220 (.*) ready", "send": "hello ${1}"}, {"expect": "hello shop.example"}),
    ),
    "tcp to nobody": Case("127.0.0.1:{nobody}", tcp()),
    "tcp over TLS": Case("localhost:{tls_only}", tcp({"expect": "^220 "}, tls=True, **secured())),
    "tcp over TLS of a stranger": Case("localhost:{stranger}", tcp(tls=True, **secured())),
    "starttls": Case(
        "localhost:{starttls}",
        tcp(
            {"expect": "^220 "},
            {"send": "EHLO prober"},
            {"expect": "^250-STARTTLS"},
            {"send": "STARTTLS"},
            {"expect": "^220"},
            {"starttls": True},
            {"send": "EHLO prober"},
            {"expect": "^250 "},
            **secured(),
        ),
    ),
    "dns that answers": Case("127.0.0.1:{dns}", dns("shop.example")),
    "dns that knows no such name": Case("127.0.0.1:{dns}", dns("nothing.example")),
    "dns that rightly knows no such name": Case(
        "127.0.0.1:{dns}", dns("nothing.example", valid_rcodes=["NXDOMAIN"])
    ),
    "dns that refuses": Case("127.0.0.1:{dns}", dns("refused.example")),
    "dns with the right answer": Case(
        "127.0.0.1:{dns}",
        dns(
            "shop.example",
            validate_answer_rrs={"fail_if_not_matches_regexp": [r".*192\.0\.2\.1"]},
        ),
    ),
    "dns with a wrong answer": Case(
        "127.0.0.1:{dns}",
        dns("shop.example", validate_answer_rrs={"fail_if_matches_regexp": [r".*192\.0\.2\.1"]}),
    ),
    "dns with nobody there": Case("127.0.0.1:{nobody}", dns("shop.example")),
}

COMPARED = (
    "probe_success",
    "probe_ip_protocol",
    "probe_http_status_code",
    "probe_http_redirects",
    "probe_http_version",
    "probe_http_ssl",
    "probe_http_content_length",
    "probe_http_uncompressed_body_length",
    "probe_http_last_modified_timestamp_seconds",
    "probe_failed_due_to_regex",
    "probe_ssl_earliest_cert_expiry",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_dns_answer_rrs",
    "probe_dns_authority_rrs",
    "probe_dns_additional_rrs",
    "probe_dns_query_succeeded",
)

_TOLD = "the date is told although the certificate does not verify: an alert on it stays"
_UNVERIFIED = "where nobody verifies there is no chain; blackbox_exporter tells the year 1"
_HEADERS = "libcurl reads 300 KB of headers, and what comes after them is lost with the connection"
_UNSEEN = "the body comes after the headers: what was not read is not taken for a match"
_BOUND = "a body is read to 10 MB where the module names no limit; blackbox_exporter reads 256 MB"

# (case, metric) -> why ours differs. A difference that is no longer there fails the test.
DIFFERENCES: dict[tuple[str, str], str] = {
    ("an expired certificate", "probe_ssl_earliest_cert_expiry"): _TOLD,
    ("a certificate for another name", "probe_ssl_earliest_cert_expiry"): _TOLD,
    ("a certificate of a stranger", "probe_ssl_earliest_cert_expiry"): _TOLD,
    ("tcp over TLS of a stranger", "probe_ssl_earliest_cert_expiry"): _TOLD,
    (
        "a stranger whom nobody verifies",
        "probe_ssl_last_chain_expiry_timestamp_seconds",
    ): _UNVERIFIED,
    **{
        (case, metric): _HEADERS
        for case in (
            "a header of 1 MB",
            "headers of 1 MB",
            "a header of 1 MB before a body that must match",
            "a header of 1 MB before a body that must not match",
        )
        for metric in ("probe_http_content_length", "probe_http_uncompressed_body_length")
    },
    ("a header of 1 MB before a body that must match", "probe_success"): _UNSEEN,
    ("a header of 1 MB before a body that must not match", "probe_failed_due_to_regex"): _UNSEEN,
    ("a bomb", "probe_success"): _BOUND,
    ("a bomb", "probe_http_uncompressed_body_length"): _BOUND,
}
