"""A small shop over real HTTP that stalls, fails, loses and doubles orders when it is told to."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from loopback import LoopbackServer, QuietHandler

from loadtests.profiles import ProfileSettings
from loadtests.settings import LoadSettings

PRICE_CENTS = 1999


class SmallShop:
    """`/look` answers, `POST /orders` places an order, `/ledger` is the provider's, the rest fails.

    `before(path, count)` is called with the number of requests so far, and may take its time.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.captures: list[dict[str, Any]] = []
        self.before: Callable[[str, int], object] = lambda _path, _count: None
        self.placed: Callable[[dict[str, Any]], object] = lambda _order: None
        self.requests = 0
        self.ending = threading.Event()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"shop": self})
        self.server = LoopbackServer(handler)
        self.url = self.server.url
        if certificate:
            self.url = self.url.replace("http:", "https:")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def place(self, key: str) -> dict[str, Any]:
        """Place the order of an idempotency key, once."""
        with self._lock:
            if key not in self.orders:
                order = {
                    "order_id": f"order-{len(self.orders)}",
                    "idempotency_key": key,
                    "amount_cents": PRICE_CENTS,
                }
                self.orders[key] = order
                self.captures.append({**order, "state": "captured"})
                self.placed(order)
            return self.orders[key]

    def serves_one_at_a_time(self, takes_s: float) -> None:
        """Let each request wait for the one before it, and then take so long."""
        turn = threading.Lock()

        def wait(_path: str, _count: int) -> None:
            with turn:
                self.ending.wait(takes_s)

        self.before = wait

    def begin(self, path: str) -> None:
        """Count a request and do what the test wants to be done first."""
        with self._lock:
            self.requests += 1
            count = self.requests
        self.before(path, count)

    @contextmanager
    def serving(self) -> Iterator["SmallShop"]:
        """Serve inside the block."""
        with self.server.serving():
            try:
                yield self
            finally:
                self.ending.set()


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer in two writes would wait for an acknowledgement
    shop: SmallShop

    def do_GET(self) -> None:
        self.shop.begin(self.path)
        if self.path == "/look":
            self.answer_json(200, {"ok": True})
        elif self.path == "/ledger":
            self.answer_json(200, self.shop.captures)
        elif self.path == "/endless":
            self._drip()
        else:
            self.answer_json(500, {"error": "broken"})

    def do_POST(self) -> None:
        body = json.loads(self.body())
        self.shop.begin(self.path)
        self.answer_json(201, self.shop.place(body["key"]))

    def _drip(self) -> None:
        """Always a byte before anybody's time-out, never the last."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.shop.ending.wait(0.05):
            try:
                self.wfile.write(b" ")
            except OSError:
                return


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key; the first is also the CA file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def settings_for(url: str, **more: Any) -> LoadSettings:
    """Return settings over the small shop's journeys."""
    names = ("look", "buy", "tell", "mixed", "wait", "wander")
    journeys = {name: f"load_walks:{name}" for name in names}
    return LoadSettings.model_validate(
        {"base_url": url, "journeys": journeys, "connections": 10, "timeout": "5s", **more}
    )


def profile(rate: float, hold: str, warm_up: str = "") -> ProfileSettings:
    """Return a profile, by default without a warm-up."""
    written = {"rate": rate, "hold": hold, "warm_up": warm_up or "1s"}
    found = ProfileSettings.model_validate(written)
    return found if warm_up else found.model_copy(update={"warm_up": 0.0})


def whole(url: str, books: dict[str, Any] | None, **more: Any) -> LoadSettings:
    """Return settings with books, a short profile, and targets that a quick shop meets."""
    profiles = {"short": {"rate": 20, "warm_up": "500ms", "hold": "2s"}}
    targets = {"p95_s": "< 2", "error_ratio": "= 0", "arrivals_missed": "= 0"}
    return settings_for(
        url, reconciliation=books, **{"profiles": profiles, "targets": targets, **more}
    )
