"""The desk's webhook and what the console refuses, over HTTP."""

import json
import socket
import urllib.parse
from typing import Any

import pytest
import requests
from console_data import TOKEN, Site

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "PaymentsFailing", "severity": "page"},
    "annotations": {"summary": "payments fail"},
    "startsAt": "2026-11-22T12:00:00Z",
    "fingerprint": "abc123",
}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def deliver(site: Site, body: object, headers: dict[str, str] = BEARER) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(f"{site.url}/webhook", data=data, headers=headers, timeout=10)


def names(site: Site) -> set[str]:
    return {incident.alert for incident in site.book.list()}


def get(site: Site, path: str) -> int:
    """GET a path as it is written: no client tidies it up on the way."""
    address = urllib.parse.urlsplit(site.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    assert b"root:" not in answer
    assert b"SQLite format" not in answer
    return int(answer.split()[1])


def test_a_delivery_with_the_token_becomes_an_incident(site: Site) -> None:
    answer = deliver(site, {"version": "4", "alerts": [ALERT]})
    assert (answer.status_code, answer.json()) == (200, {"opened": 1, "updated": 0, "resolved": 0})
    assert deliver(site, {"version": "4", "alerts": [ALERT]}).json()["opened"] == 0
    assert "PaymentsFailing" in names(site)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
    ],
    ids=str,
)
def test_a_delivery_without_the_token_is_refused_and_kept_out(
    site: Site, headers: dict[str, str]
) -> None:
    answer = deliver(site, {"version": "4", "alerts": [ALERT]}, headers)
    assert answer.status_code == 401
    assert "PaymentsFailing" not in names(site)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[]", {"version": "3", "alerts": [ALERT]}, {"version": "4"}]
)
def test_a_malformed_delivery_is_refused_in_one_line(site: Site, body: object) -> None:
    answer = deliver(site, body)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


def test_a_delivery_too_large_to_be_one_is_refused(site: Site) -> None:
    pieces = (b" " * 65536 for _ in range(80))  # chunked: no length is announced
    answer = requests.post(f"{site.url}/webhook", data=pieces, headers=BEARER, timeout=10)
    assert answer.status_code == 413


def test_a_delivery_that_could_not_be_stored_is_asked_for_again(site: Site) -> None:
    """Alertmanager repeats what was answered with 5xx, and only that."""
    with site.book._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE incidents RENAME TO elsewhere")
    answer = deliver(site, {"version": "4", "alerts": [ALERT]})
    assert answer.status_code == 503
    with site.book._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO incidents")
    assert deliver(site, {"version": "4", "alerts": [ALERT]}).json()["opened"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "../evidence.json",
        "../../../../state.db",
        "..%2f..%2f..%2fstate.db",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/state.db",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "....//....//etc/passwd",
        "evidence.json",
        "experiment",
        "report.html%00",
        "",
    ],
)
def test_files_that_the_record_does_not_list_are_not_served(site: Site, path: str) -> None:
    assert get(site, f"/evidence/{site.load.id}/files/{path}") == 404


def test_listed_files_are_served_below_folders_too(site: Site) -> None:
    base = f"{site.url}/evidence/{site.load.id}/files"
    assert requests.get(f"{base}/experiment/journal.json", timeout=10).json() == {}
    answer = requests.get(f"{base}/report.html", timeout=10)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_listed_file_that_is_gone_is_not_found(site: Site) -> None:
    (site.store.folder(site.load) / "report.html").unlink()
    assert get(site, f"/evidence/{site.load.id}/files/report.html") == 404


@pytest.mark.parametrize(
    "path",
    [
        "/incidents/nobody",
        "/incidents/%25",
        "/evidence/nobody",
        "/evidence/..%2f..",
        "/evidence/*",
        "/runbooks/Nobody",
        "/runbooks/..%2fpage",
        "/runbooks/%2e%2e%2fpages%2fRedisDown",
        "/nowhere",
    ],
)
def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    assert get(site, path) == 404


def test_the_health_page_tells_whether_the_database_answers(site: Site) -> None:
    assert requests.get(f"{site.url}/health", timeout=10).json() == {"status": "ok"}
    with site.book._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE incidents RENAME TO elsewhere")
    assert requests.get(f"{site.url}/health", timeout=10).status_code >= 500
