"""Requests of virtual shoppers, over real HTTP; no journey, no Locust."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import gevent
import pytest
from loopback import until

from loadtests.curl import CurlSession, Transfers

LARGE_BYTES = 9 * 1024 * 1024


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections: set[int]
    held: threading.Event

    def do_GET(self) -> None:
        self.connections.add(self.client_address[1])
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size).decode()
        if self.path == "/held":
            self.held.wait(10)
        if self.path.startswith("/moved/"):
            left = int(self.path.rsplit("/", 1)[1])
            self._answer(302, b"", Location=f"/moved/{left - 1}" if left else "/here")
        elif self.path == "/large":
            self._answer(200, bytes(LARGE_BYTES))
        else:
            told = {"method": self.command, "path": self.path, "body": body}
            told |= {name.lower(): value for name, value in self.headers.items()}
            self._answer(200, json.dumps(told).encode(), **{"Set-Cookie": "basket=full"})

    do_POST = do_GET

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # who gave up is gone
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[Any]:
    own = {"connections": set(), "held": threading.Event()}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Echo", (_Echo,), own)) as found:
        found.daemon_threads = True
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        own["held"].set()
        found.shutdown()


@pytest.fixture
def session(server: Any) -> CurlSession:
    return CurlSession(Transfers(), f"http://127.0.0.1:{server.server_port}", None, 2.0)


def test_json_forms_and_queries_are_sent_as_requests_does(session: CurlSession) -> None:
    told = session.request("POST", "/a", json={"sku": 7}, headers={"X-Key": "k"}).json()
    assert (told["method"], told["body"], told["x-key"]) == ("POST", '{"sku":7}', "k")
    assert told["content-type"] == "application/json"
    told = session.request("POST", "/a", data={"name": "a b", "size": 2}).json()
    assert told["body"] == "name=a+b&size=2"
    assert told["content-type"] == "application/x-www-form-urlencoded"
    told = session.request("GET", "/a", params={"q": "red lamp"}).json()
    assert (told["method"], told["path"], told["body"]) == ("GET", "/a?q=red+lamp", "")


def test_nothing_of_the_request_before_is_sent_again(session: CurlSession) -> None:
    headers = {"Authorization": "Bearer a", "Idempotency-Key": "k"}
    session.request("POST", "/a", json={"sku": 7}, headers=headers)
    for method in ("GET", "POST"):
        told = session.request(method, "/a").json()
        assert not {"authorization", "idempotency-key"} & set(told)
        assert told["body"] == ""
    assert "application/json" not in session.request("GET", "/a").text


def test_an_option_that_is_not_known_is_an_error_and_not_left_out(session: CurlSession) -> None:
    with pytest.raises(TypeError, match="has no files; use headers, json, data"):
        session.request("POST", "/a", files={"a": b""})


def test_redirects_are_followed_but_not_without_end(session: CurlSession) -> None:
    answer = session.request("POST", "/moved/2", data="x")
    assert (answer.json()["path"], answer.json()["method"]) == ("/here", "GET")
    assert "location" not in answer.headers  # the last answer's, not those on the way
    assert session.request("GET", "/moved/2", allow_redirects=False).status_code == 302
    with pytest.raises(ConnectionError, match="redirects"):
        session.request("GET", "/moved/9")


def test_cookies_are_kept_until_the_shopper_is_somebody_else(session: CurlSession) -> None:
    assert "cookie" not in session.request("GET", "/a").json()
    assert session.request("GET", "/a").json()["cookie"] == "basket=full"
    session.forget()
    assert "cookie" not in session.request("GET", "/a").json()


def test_headers_are_found_in_any_case(session: CurlSession) -> None:
    headers = session.request("GET", "/a").headers
    assert headers["content-length"] == headers["Content-Length"]
    assert headers.get("Retry-After") is None


def test_an_answer_beyond_the_bound_is_given_up(session: CurlSession) -> None:
    with pytest.raises(ConnectionError, match="file size"):
        session.request("GET", "/large")
    assert session.request("GET", "/a").status_code == 200


def test_a_connection_is_kept_and_taken_again(server: Any, session: CurlSession) -> None:
    for _ in range(5):
        session.request("GET", "/a")
    assert len(server.RequestHandlerClass.connections) == 1


def test_who_waits_blocks_nobody_else(server: Any) -> None:
    transfers, url = Transfers(), f"http://127.0.0.1:{server.server_port}"
    sessions = [CurlSession(transfers, url, None, 5.0) for _ in range(3)]
    waiting = gevent.spawn(sessions[0].request, "GET", "/held")
    others = [gevent.spawn(session.request, "GET", "/a") for session in sessions[1:]]
    gevent.joinall(others, timeout=5, raise_error=True)
    assert [one.value.status_code for one in others] == [200, 200]
    assert not waiting.ready()
    server.RequestHandlerClass.held.set()
    assert waiting.get(timeout=5).status_code == 200


def test_a_shopper_that_is_ended_takes_its_transfer_along(server: Any) -> None:
    transfers, url = Transfers(), f"http://127.0.0.1:{server.server_port}"
    session = CurlSession(transfers, url, None, 5.0)
    waiting = gevent.spawn(session.request, "GET", "/held")
    until(lambda: gevent.sleep(0.01) or server.RequestHandlerClass.connections)
    waiting.kill()
    server.RequestHandlerClass.held.set()
    assert session.request("GET", "/a").status_code == 200


def test_the_timeout_is_one_for_the_whole_request(server: Any) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    session = CurlSession(Transfers(), url, None, 0.2)
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="timed out"):
        session.request("GET", "/held")
    assert time.monotonic() - began < 2


def test_a_shop_that_is_gone_is_a_failed_request() -> None:
    with pytest.raises(ConnectionError, match=r"(?i)connect.* after … ms"):
        CurlSession(Transfers(), "http://127.0.0.1:9", None, 1.0).request("GET", "/")


def test_shoppers_come_through_as_soon_as_the_shop_is_back(server: Any) -> None:
    """The sockets of refused connections have the numbers of those that follow."""
    transfers = Transfers()
    gone = [CurlSession(transfers, "http://127.0.0.1:9", None, 5.0) for _ in range(20)]
    refused = [gevent.spawn(one.request, "GET", "/") for one in gone]
    back = [
        CurlSession(transfers, f"http://127.0.0.1:{server.server_port}", None, 5.0)
        for _ in range(20)
    ]
    served = [gevent.spawn(one.request, "GET", "/a") for one in back]
    gevent.joinall(served, timeout=4, raise_error=True)
    assert [one.value.status_code for one in served] == [200] * 20
    gevent.joinall(refused, timeout=4)
    assert all(isinstance(one.exception, ConnectionError) for one in refused)
