"""What `/probe` answers to requests that are incomplete, wrong, or leave hardly any time."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from fault_server import Faults
from probing import ask, dns, exporter, http, tcp, write_modules

HTTP = "http://127.0.0.1:{http}"
HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
MODULES = {
    "patient": http("5s"),
    "brief": http("200ms"),
    "hosted": http(headers={"Host": "shop.example"}),
    "endless": {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}},
    "conversation": tcp({"expect": "^never"}),
    "question": dns("shop.example"),
}


@pytest.fixture(scope="module")
def ours(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with exporter(write_modules(tmp_path_factory.mktemp("asked"), faults, MODULES)) as address:
        yield address


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """The port of a name server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("query", [{}, {"module": "patient"}, {"target": "", "module": "patient"}])
def test_a_missing_target_is_a_bad_request(ours: str, query: dict[str, str]) -> None:
    answered = ask(ours, None, **query)
    assert answered.status == 400
    assert answered.text == "the parameter target is missing; such as target=shop.example\n"


def test_an_unknown_module_is_a_bad_request_that_names_the_known_ones(ours: str) -> None:
    answered = ask(ours, target="127.0.0.1", module="http_3xx")
    assert answered.status == 400
    assert answered.text.startswith("no module 'http_3xx'; there are: http_2xx, http_post_2xx, ")
    assert set(MODULES) <= set(answered.text.rstrip().partition(": ")[2].split(", "))


def test_a_host_in_the_module_and_another_in_the_request_are_a_bad_request(
    faults: Faults, ours: str
) -> None:
    target = faults.fill(f"{HTTP}/host")
    assert (
        "probe_success 1" in ask(ours, target=target, module="hosted", hostname="shop.example").text
    )
    answered = ask(ours, target=target, module="hosted", hostname="other.example")
    assert answered.status == 400
    assert "hostname is 'other.example'" in answered.text
    assert "Host header 'shop.example'; give it in one place" in answered.text


@pytest.mark.parametrize("query", [{}, {"module": ""}])
def test_without_a_module_it_is_http_2xx(faults: Faults, ours: str, query: dict[str, str]) -> None:
    explained = ask(ours, None, target=faults.fill(f"{HTTP}/ok"), debug="true", **query)
    assert explained.part("Module configuration") == "prober: http\ntimeout: 1500ms\n"
    assert "\nprobe_success 1\n" in explained.text


def test_another_method_is_refused(faults: Faults, ours: str) -> None:
    with closing(HTTPConnection(urlsplit(ours).netloc, timeout=10)) as connection:
        connection.request("POST", f"/probe?target=127.0.0.1:{faults.http}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (405, b"ask with GET\n")


@pytest.mark.parametrize("header", ["soon", "5s", "-1", "nan", "inf", "1e999", "1,5"])
def test_a_scrape_time_out_that_is_no_time_is_a_bad_request(
    faults: Faults, ours: str, header: str
) -> None:
    answered = ask(ours, {HEADER: header}, target=faults.fill(f"{HTTP}/ok"), module="patient")
    assert answered.status == 400
    assert answered.text == f"{HEADER}: {header!r} is no time; write seconds, such as 10\n"


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("endless", f"{HTTP}/hang"),
        ("endless", f"{HTTP}/drip"),
        ("conversation", "127.0.0.1:{tcp}"),
        ("question", "127.0.0.1:{silent}"),
    ],
)
@pytest.mark.parametrize("header", ["0.000001", "0.01", "0.4"])
def test_a_tiny_scrape_time_out_is_a_probe_that_failed_within_it(
    faults: Faults, silent: int, ours: str, header: str, module: str, target: str
) -> None:
    where = faults.fill(target.replace("{silent}", str(silent)))
    began = time.monotonic()
    answered = ask(ours, {HEADER: header}, target=where, module=module)
    assert time.monotonic() - began < 1
    assert answered.status == 200
    assert answered.samples["probe_success"] == 0
    assert answered.samples["probe_duration_seconds"] < 0.4


@pytest.mark.parametrize(("header", "module"), [("0.8", "patient"), ("30", "brief")])
def test_the_shorter_time_out_counts(faults: Faults, ours: str, header: str, module: str) -> None:
    target = faults.fill(f"{HTTP}/hang")
    answered = ask(ours, {HEADER: header}, target=target, module=module)
    wanted_s = {"patient": 0.4, "brief": 0.2}[module]
    assert answered.samples["probe_success"] == 0
    assert wanted_s - 0.01 < answered.samples["probe_duration_seconds"] < wanted_s + 0.3


@pytest.mark.parametrize("header", ["", "0", "0.9", "1e9"])
def test_a_scrape_time_out_that_leaves_time_enough_changes_nothing(
    faults: Faults, ours: str, header: str
) -> None:
    for module in ("patient", "endless"):
        answered = ask(ours, {HEADER: header}, target=faults.fill(f"{HTTP}/ok"), module=module)
        assert answered.status == 200
        assert answered.samples["probe_success"] == 1


def test_the_page_of_metrics_refuses_a_time_that_is_none_as_well(ours: str) -> None:
    with closing(HTTPConnection(urlsplit(ours).netloc, timeout=10)) as connection:
        connection.request("GET", "/metrics", headers={HEADER: "soon"})
        answer = connection.getresponse()
        assert answer.status == 400
        assert answer.read().startswith(HEADER.encode())
