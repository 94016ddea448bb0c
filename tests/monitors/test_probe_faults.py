"""What a probe says of each fault: the verdict, and the reason somebody reads."""

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fault_server import BOMB_BYTES, Faults, bomb
from probing import ask, dns, exporter, http, secured, tcp, write_modules

HTTP = "http://127.0.0.1:{http}"
LIMIT = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What is probed and how, the right verdict, its reason ("" for a success), some metrics."""

    target: str
    module: dict[str, Any]
    reason: str
    metrics: dict[str, float]


FAULTS = {
    "a server that drips": Fault(
        f"{HTTP}/drip", http("300ms"), "Operation timed out", {"probe_http_status_code": 200}
    ),
    "a server that hangs": Fault(
        f"{HTTP}/hang", http("300ms"), "Operation timed out", {"probe_http_status_code": 0}
    ),
    "an endless redirect": Fault(
        f"{HTTP}/loop",
        http(),
        "the status is 302, not 2xx",
        {"probe_http_redirects": 11, "probe_http_status_code": 302},
    ),
    "a bomb": Fault(
        f"{HTTP}/bomb/gzip",
        http(compression="gzip"),
        "the body is longer than 10485760 bytes; set body_size_limit",
        {"probe_http_uncompressed_body_length": 10 << 20, "probe_http_status_code": 200},
    ),
    "a server that closes early": Fault(
        f"{HTTP}/early",
        http(),
        "end of response with 900 bytes missing",
        {"probe_http_content_length": 1000, "probe_http_uncompressed_body_length": 100},
    ),
    "a server that closes without a word": Fault(
        f"{HTTP}/silence", http(), "Empty reply from server", {"probe_http_status_code": 0}
    ),
    "bytes that are no UTF-8": Fault(
        f"{HTTP}/latin",
        http(fail_if_body_not_matches_regexp=["^\ufffd\ufffd hello \ufffd\n$"]),
        "",
        {"probe_failed_due_to_regex": 0},
    ),
    "bytes that are no UTF-8 and do not match": Fault(
        f"{HTTP}/latin",
        http(fail_if_body_not_matches_regexp=["goodbye"]),
        "the body does not match 'goodbye'",
        {"probe_failed_due_to_regex": 1},
    ),
    "an expired certificate": Fault(
        "https://localhost:{expired}/ok",
        http(**secured()),
        "certificate has expired",
        {"storewatch_probe_tls_verified": 0, "probe_http_status_code": 0},
    ),
    "a certificate for another name": Fault(
        "https://localhost:{wrong}/ok",
        http(**secured()),
        "no alternative certificate subject name matches",
        {"storewatch_probe_tls_verified": 0, "probe_http_status_code": 0},
    ),
    "an expired certificate over tcp": Fault(
        "localhost:{expired}",
        tcp(tls=True, **secured()),
        "certificate has expired",
        {"storewatch_probe_tls_verified": 0},
    ),
    "a certificate for another name over tcp": Fault(
        "localhost:{wrong}",
        tcp(tls=True, **secured()),
        "Hostname mismatch",
        {"storewatch_probe_tls_verified": 0},
    ),
    "IPv6": Fault(
        "http://[::1]:{http6}/ok",
        http(preferred_ip_protocol="ip6"),
        "",
        {"probe_ip_protocol": 6, "probe_http_status_code": 200},
    ),
    "IPv6 where IPv4 is preferred": Fault(
        "http://[::1]:{http6}/ok", http(), "", {"probe_ip_protocol": 6}
    ),
    "IPv6 where nothing but IPv4 will do": Fault(
        "http://[::1]:{http6}/ok",
        http(ip_protocol_fallback=False),
        "::1 is no address of ip4",
        {"probe_ip_protocol": 0},
    ),
    "a header of 1 MB": Fault(f"{HTTP}/huge-header", http(), "", {"probe_http_status_code": 200}),
    "a header of 1 MB before a body that must not match": Fault(
        f"{HTTP}/huge-header",
        http(fail_if_body_matches_regexp=["goodbye"]),
        "the headers are longer than libcurl reads",
        {"probe_http_status_code": 200},
    ),
    "headers of 1 MB before one that must not match": Fault(
        f"{HTTP}/many-headers",
        http(fail_if_header_matches=[{"header": "X-Many", "regexp": "y"}]),
        "the headers are longer than libcurl reads",
        {"probe_http_status_code": 200},
    ),
    "tcp that never says what is waited for": Fault(
        "127.0.0.1:{tcp}",
        {**tcp({"expect": "^SSH"}), "timeout": "300ms"},
        "no answer in time",
        {"probe_failed_due_to_regex": 0},
    ),
    "dns with nobody there": Fault(
        "127.0.0.1:{nobody}", dns("shop.example"), "no answer: ", {"probe_dns_query_succeeded": 0}
    ),
}


@pytest.fixture(scope="module")
def ours(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    modules = {name: fault.module for name, fault in FAULTS.items()}
    for kind in ("gzip", "deflate", "br"):
        modules[kind] = http(
            compression=kind, body_size_limit="1MB", fail_if_body_matches_regexp=["hello"]
        )
    with exporter(write_modules(tmp_path_factory.mktemp("verdicts"), faults, modules)) as address:
        yield address


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_gets_the_right_verdict_and_its_reason(
    faults: Faults, ours: str, name: str
) -> None:
    fault = FAULTS[name]
    answered = ask(ours, target=faults.fill(fault.target), module=name)
    explained = ask(ours, target=faults.fill(fault.target), module=name, debug="true")
    wanted = {"probe_success": 0.0 if fault.reason else 1.0, **fault.metrics}
    assert {metric: answered.samples.get(metric) for metric in wanted} == wanted
    *_, reason, verdict = explained.part("Logs for the probe").splitlines()
    assert verdict.endswith(" failed" if fault.reason else " succeeded")
    assert fault.reason in reason


@pytest.mark.parametrize("name", ["a server that drips", "a server that hangs"])
def test_a_server_that_does_not_come_to_an_end_takes_no_more_than_the_time_out(
    faults: Faults, ours: str, name: str
) -> None:
    began = time.monotonic()
    answered = ask(ours, target=faults.fill(FAULTS[name].target), module=name)
    assert time.monotonic() - began < 1.5
    assert 0.25 < answered.samples["probe_duration_seconds"] < 1


@pytest.mark.parametrize("over", ["", " over tcp"])
@pytest.mark.parametrize(
    ("name", "days"), [("an expired certificate", -1), ("a certificate for another name", 30)]
)
def test_the_date_of_a_certificate_is_told_although_it_does_not_verify(
    faults: Faults, ours: str, name: str, days: int, over: str
) -> None:
    name += over
    answered = ask(ours, target=faults.fill(FAULTS[name].target), module=name)
    ends = answered.samples["probe_ssl_earliest_cert_expiry"]
    assert ends - time.time() == pytest.approx(days * 86400, abs=3600)


@pytest.mark.parametrize("compression", ["gzip", "deflate", "br"])
def test_a_bomb_takes_little_memory_and_is_no_success(
    faults: Faults, ours: str, compression: str
) -> None:
    target = faults.fill(f"{HTTP}/bomb/{compression}")
    bomb(compression)  # made once, which takes longer than a probe may
    tracemalloc.start()
    try:
        answered = ask(ours, target=target, module=compression)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answered.samples["probe_success"] == 0
    assert answered.samples["probe_http_uncompressed_body_length"] == LIMIT
    assert peak_bytes < 6 * LIMIT < BOMB_BYTES
