import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from watching import free_port, one, reply, samples

from monitors.probes.certificate import not_after
from monitors.probes.http import HttpProbe, probe
from monitors.settings import HttpTarget

Web = Callable[[Callable[[BaseHTTPRequestHandler], None]], str]


def target(url: str, **settings: Any) -> HttpTarget:
    return HttpTarget(name="it", group="app", url=url, **{"timeout": "1s", **settings})


def families(url: str, ca_file: Path | None = None, **settings: Any) -> list[Any]:
    return list(HttpProbe(target(url, **settings), ca_file).collect())


def test_a_good_answer_is_a_success_with_status_and_phases(web: Web) -> None:
    found = families(web(reply) + "/health")
    assert one(found, "probe_success", target="it", group="app") == 1
    assert one(found, "probe_http_status_code") == 200
    assert one(found, "probe_http_version") == 1.1
    assert one(found, "probe_http_content_length") == 2
    phases = {s.labels["phase"] for f in found for s in f.samples if "phase" in s.labels}
    assert phases == {"resolve", "connect", "tls", "processing", "transfer"}


def test_the_time_of_a_slow_answer_is_processing(web: Web) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        Event().wait(0.3)
        reply(handler)

    found = families(web(slow))
    assert one(found, "probe_http_duration_seconds", phase="processing") >= 0.29
    assert one(found, "probe_duration_seconds") >= 0.29


@pytest.mark.parametrize("status", [500, 503, 404, 301])
def test_any_status_but_2xx_is_a_failure(web: Web, status: int) -> None:
    found = families(web(lambda handler: reply(handler, status)))
    assert one(found, "probe_success") == 0
    assert one(found, "probe_http_status_code") == status


def test_a_status_that_was_asked_for_is_a_success(web: Web) -> None:
    found = families(web(lambda handler: reply(handler, 308)), valid_status_codes=[308])
    assert one(found, "probe_success") == 1


def test_a_body_that_does_not_match_is_a_failure(web: Web) -> None:
    found = families(web(reply), fail_if_body_not_matches_regexp=["^ready"])
    assert one(found, "probe_success") == 0
    assert one(found, "probe_failed_due_to_regex") == 1


def test_a_port_nobody_listens_on_is_a_failure() -> None:
    found = families(f"http://127.0.0.1:{free_port()}/")
    assert one(found, "probe_success") == 0
    assert one(found, "probe_http_status_code") == 0


def test_a_server_that_accepts_and_never_answers_is_a_failure_in_time(liar: int) -> None:
    started = time.monotonic()
    result = probe(target(f"http://127.0.0.1:{liar}/", timeout="300ms"), None)
    assert not result.success
    assert result.error == "no answer within 0.3 s"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_trickles_cannot_stretch_the_probe(web: Web, part: str) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        if part == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        pause = Event()
        for _ in range(1000):
            handler.wfile.write(b"x")
            pause.wait(0.02)

    url = web(trickle)
    started = time.monotonic()
    assert not probe(target(url, timeout="400ms"), None).success
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 99]
)
def test_an_answer_that_is_no_http_is_a_failure(web: Web, answer: bytes) -> None:
    def lie(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    assert one(families(web(lie)), "probe_success") == 0


def test_a_body_that_breaks_off_is_a_failure(web: Web) -> None:
    def short(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"5\r\nab")
        handler.close_connection = True

    assert one(families(web(short)), "probe_success") == 0


class Authority:
    """A local CA and certificates made by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "ca.pem"
        self.certificate = self._sign("A CA", self.key, timedelta(days=30), authority=True)
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, lasts: timedelta) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign("localhost", key, lasts, authority=False)
        path = self.folder / f"server-{lasts.total_seconds():.0f}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _sign(self, name: str, key: Any, lasts: timedelta, *, authority: bool) -> x509.Certificate:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A CA")])
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=2))
            .not_valid_after(datetime.now(UTC) + lasts)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure() -> Iterator[Callable[[Path], str]]:
    """Serve over TLS with a certificate; returns the address."""
    servers = []

    def start(certificate: Path) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reply(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_tls_is_verified_by_the_ca_file_and_its_date_read(
    authority: Authority, secure: Callable[[Path], str]
) -> None:
    url = secure(authority.server(timedelta(days=20)))
    found = families(url, authority.file)
    assert one(found, "probe_success") == 1
    assert one(found, "storewatch_probe_tls_verified") == 1
    assert one(found, "probe_http_ssl") == 1
    assert one(found, "probe_tls_version_info", version="TLS 1.3") == 1
    days = (one(found, "probe_ssl_earliest_cert_expiry") - time.time()) / 86400
    assert days == pytest.approx(20, abs=0.1)
    assert one(found, "probe_http_duration_seconds", phase="tls") > 0


def test_an_expired_certificate_fails_and_its_date_is_read_all_the_same(
    authority: Authority, secure: Callable[[Path], str]
) -> None:
    url = secure(authority.server(-timedelta(days=1)))
    found = families(url, authority.file)
    assert one(found, "probe_success") == 0
    assert one(found, "storewatch_probe_tls_verified") == 0
    assert one(found, "probe_ssl_earliest_cert_expiry") < time.time()


def test_a_certificate_of_an_unknown_authority_fails(
    authority: Authority, secure: Callable[[Path], str]
) -> None:
    found = families(secure(authority.server(timedelta(days=20))), None)
    assert one(found, "probe_success") == 0
    assert one(found, "storewatch_probe_tls_verified") == 0


def test_a_ca_file_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    assert one(families("https://127.0.0.1:1/", tmp_path / "none.pem"), "probe_success") == 0


@pytest.mark.parametrize("lasts", [timedelta(days=20), timedelta(days=365 * 30)])
def test_the_date_is_what_the_certificate_says(authority: Authority, lasts: timedelta) -> None:
    pem = authority.server(lasts).read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert not_after(der) == certificate.not_valid_after_utc.timestamp()


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x82\xff\xff", b"not a certificate"])
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        not_after(der)


def test_a_probe_that_was_given_up_is_a_failure() -> None:
    found = list(HttpProbe(target("http://127.0.0.1/"), None).down())
    assert one(found, "probe_success") == 0
    assert ("probe_ssl_earliest_cert_expiry",) not in {key[:1] for key in samples(found)}
