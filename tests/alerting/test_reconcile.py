"""The book of incidents beside a real Alertmanager."""

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from alerting.incidents import Alert, Incident, IncidentBook
from alerting.reconcile import LOOK_EVERY_S, LOOKS_BEFORE_RESOLVING, Reconciler
from alerting.routes import alertmanager_argv, render_alertmanager
from alerting.settings import AlertSettings
from alerting.webhook import Alertmanager
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import UnreachableError
from storewatch.store.database import open_database
from storewatch.tools import find_program, working_folder

TOKEN = "the-desks-token-of-the-tests"

DESK = """
import sys
import uvicorn
from alerting.incidents import IncidentBook
from console.app import Console
from pathlib import Path
from runbooks.page import Library
from storewatch.store.database import open_database
from storewatch.store.evidence import EvidenceStore
port, url, home, token = sys.argv[1:]
book = IncidentBook(open_database(url))
app = Console(book, EvidenceStore(Path(home)), Library(), token, "shop", {}).app()
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    deadline, pause = time.monotonic() + within_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        pause.wait(0.05)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass
class Manager:
    """A running Alertmanager whose webhook goes to `desk_port`."""

    url: str
    desk_port: int

    def post(self, what: str, body: object) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v2/{what}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fire(self, name: str, ago_s: float = 60, *, over: bool = False) -> None:
        now = utc_now()
        alert = {
            "labels": {"alertname": name, "severity": "page"},
            "annotations": {"summary": f"{name} is wrong"},
            "startsAt": rfc3339(now - timedelta(seconds=ago_s)),
            "endsAt": rfc3339(now - timedelta(seconds=1) if over else now + timedelta(hours=1)),
        }
        self.post("alerts", [alert])

    def silence(self, name: str) -> None:
        matcher = {"name": "alertname", "value": name, "isRegex": False, "isEqual": True}
        now = utc_now()
        silence = {
            "matchers": [matcher],
            "startsAt": rfc3339(now),
            "endsAt": rfc3339(now + timedelta(hours=1)),
            "createdBy": "kim",
            "comment": "known",
        }
        self.post("silences", silence)
        api = Alertmanager(self.url)
        until(lambda: any(alert.name == name and hidden for alert, hidden in api.alerts()))


@pytest.fixture(scope="module")
def manager() -> Iterator[Manager]:
    with tempfile.TemporaryDirectory(prefix="storewatch-alertmanager-") as place:
        folder, port, desk_port = Path(place), free_port(), free_port()
        alertmanager = {
            "listen": f"127.0.0.1:{port}",
            "desk_url": f"http://127.0.0.1:{desk_port}/webhook",
            "page": {"group_wait": "100ms", "group_interval": "1s"},
        }
        settings = AlertSettings.model_validate({"alertmanager": alertmanager})
        (folder / "token").write_text(TOKEN)
        (folder / "config.yml").write_text(render_alertmanager(settings, folder / "token"))
        program = find_program("alertmanager")
        argv = alertmanager_argv(
            settings.alertmanager, program, folder / "config.yml", folder / "data"
        )
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(argv, cwd=working_folder(program), stdout=log, stderr=log)
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"))
            yield Manager(f"http://127.0.0.1:{port}", desk_port)
        finally:
            child.terminate()
            child.wait(20)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def book(database: str) -> IncidentBook:
    return IncidentBook(open_database(database))


def incidents(book: IncidentBook, name: str) -> list[Incident]:
    return [incident for incident in book.list() if incident.alert == name]


@contextmanager
def desk(manager: Manager, database: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The desk as a process of its own, until it answers; killed at the end."""
    words = [str(manager.desk_port), database, str(home), TOKEN]
    child = subprocess.Popen([sys.executable, "-c", DESK, *words])
    try:
        until(lambda: answers(f"http://127.0.0.1:{manager.desk_port}/health"))
        yield child
    finally:
        child.kill()
        child.wait()


def test_a_killed_desk_hears_what_fired_and_what_ended_while_it_was_dead(
    manager: Manager, book: IncidentBook, database: str, tmp_path: Path
) -> None:
    with desk(manager, database, tmp_path):
        manager.fire("EndsWhileDead")
        until(lambda: incidents(book, "EndsWhileDead"))
    # It was killed with SIGKILL; nobody listens now.
    manager.fire("FiresWhileDead")
    manager.fire("EndsWhileDead", over=True)
    api = Alertmanager(manager.url)
    until(lambda: "EndsWhileDead" not in {labels["alertname"] for labels in api.firing()})
    with desk(manager, database, tmp_path):
        until(lambda: incidents(book, "FiresWhileDead"))
        until(lambda: incidents(book, "EndsWhileDead")[0].state == "resolved")
    assert len(book.list()) == 2
    manager.fire("FiresWhileDead", over=True)


def test_what_the_desk_was_never_told_is_fetched_once(manager: Manager, book: IncidentBook) -> None:
    manager.fire("NeverTold")
    reconciler = Reconciler(book, Alertmanager(manager.url))
    reconciler.look()
    reconciler.look()
    (incident,) = incidents(book, "NeverTold")
    assert incident.state == "open"
    assert incident.summary == "NeverTold is wrong"


def test_the_start_that_is_fetched_is_the_start_that_is_delivered(
    manager: Manager, book: IncidentBook, database: str, tmp_path: Path
) -> None:
    manager.fire("ToldTwice")
    Reconciler(book, Alertmanager(manager.url)).look()
    (fetched,) = incidents(book, "ToldTwice")
    with desk(manager, database, tmp_path):
        manager.fire("ToldAfter")
        until(lambda: incidents(book, "ToldAfter"))
        manager.fire("ToldTwice", over=True)
        until(lambda: incidents(book, "ToldTwice")[0].state == "resolved")
    assert [one.id for one in incidents(book, "ToldTwice")] == [fetched.id]
    assert [entry.kind for entry in book.get(fetched.id).timeline] == ["opened", "resolved"]


def test_a_young_alert_is_left_to_the_webhook(manager: Manager, book: IncidentBook) -> None:
    manager.fire("Young", ago_s=0)
    Reconciler(book, Alertmanager(manager.url)).look()
    assert incidents(book, "Young") == []
    Reconciler(book, Alertmanager(manager.url), notice_within_s=0).look()
    assert len(incidents(book, "Young")) == 1


def test_a_vanished_alert_is_resolved_after_several_looks_and_not_before(
    manager: Manager, book: IncidentBook
) -> None:
    reconciler = Reconciler(book, Alertmanager(manager.url))
    manager.fire("Vanishes")
    reconciler.look()
    manager.fire("Vanishes", over=True)
    api = Alertmanager(manager.url)
    until(lambda: "Vanishes" not in {labels["alertname"] for labels in api.firing()})
    for _ in range(LOOKS_BEFORE_RESOLVING - 1):
        reconciler.look()
    assert incidents(book, "Vanishes")[0].state == "open"
    reconciler.look()
    (incident,) = incidents(book, "Vanishes")
    assert incident.state == "resolved"
    assert "no resolve notice had come" in book.get(incident.id).timeline[-1].text


def test_a_suppressed_alert_keeps_its_incident_open_and_opens_none(
    manager: Manager, book: IncidentBook
) -> None:
    reconciler = Reconciler(book, Alertmanager(manager.url))
    manager.fire("SilencedLater")
    reconciler.look()
    manager.silence("SilencedLater")
    manager.fire("SilencedBefore")
    manager.silence("SilencedBefore")
    for _ in range(LOOKS_BEFORE_RESOLVING + 2):
        reconciler.look()
    assert incidents(book, "SilencedLater")[0].state == "open"
    assert incidents(book, "SilencedBefore") == []


def test_alertmanager_is_given_longer_than_prometheus_takes_to_tell_it_again() -> None:
    resend_delay_s, evaluation_s = 60, 5
    assert resend_delay_s + evaluation_s < (LOOKS_BEFORE_RESOLVING - 1) * LOOK_EVERY_S


class Script:
    """An Alertmanager that answers as written: lists of alerts, or an error to raise."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def alerts(self) -> list[tuple[Alert, bool]]:
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        found: list[tuple[Alert, bool]] = answer
        return found


OLD = Alert("a1", {"alertname": "Old"}, {}, "2026-01-01T00:00:00.000Z", firing=True)


def scripted(book: IncidentBook, *answers: Any) -> Reconciler:
    return Reconciler(book, Script(*answers))  # type: ignore[arg-type]


def test_looks_before_an_outage_of_alertmanager_do_not_count(book: IncidentBook) -> None:
    """It comes back empty, and is filled again within a minute."""
    almost: list[list[object]] = [[] for _ in range(LOOKS_BEFORE_RESOLVING - 1)]
    book.receive([OLD])
    reconciler = scripted(book, *almost, UnreachableError("down"), *almost, [(OLD, False)], *almost)
    for _ in range(3 * len(almost) + 2):
        try:
            reconciler.look()
        except UnreachableError:
            continue
    assert incidents(book, "Old")[0].state == "open"
    reconciler.look()
    assert incidents(book, "Old")[0].state == "resolved"


def test_an_incident_that_opens_while_others_are_settled_is_left_alone(
    book: IncidentBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.receive([OLD])
    reconciler = scripted(book)
    for _ in range(LOOKS_BEFORE_RESOLVING - 1):
        reconciler.look()
    settle = book.settle
    new = Alert("b2", {"alertname": "New"}, {}, rfc3339(utc_now()), firing=True)

    def deliver_then_settle(identifiers: list[str]) -> int:
        book.receive([new])
        return settle(identifiers)

    monkeypatch.setattr(book, "settle", deliver_then_settle)
    reconciler.look()
    assert incidents(book, "Old")[0].state == "resolved"
    assert incidents(book, "New")[0].state == "open"


def test_the_reconciler_outlives_every_trouble_and_ends_when_told(book: IncidentBook) -> None:
    locked = OperationalError("SELECT", {}, Exception("database is locked"))
    reconciler = scripted(book, UnreachableError("down"), locked, [(OLD, False)])
    stop = threading.Event()
    thread = threading.Thread(target=reconciler.run, args=(stop, 0.01))
    thread.start()
    until(lambda: incidents(book, "Old"), 5)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
