"""The book of incidents beside a real Alertmanager."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from incident_book import incidents
from loopback import free_port
from running import running, until

from alerting.incidents import IncidentBook
from alerting.reconcile import LOOKS_BEFORE_RESOLVING, Reconciler
from alerting.routes import alertmanager_argv, render_alertmanager
from alerting.settings import AlertSettings
from alerting.webhook import Alertmanager
from storewatch.core.clock import rfc3339, utc_now
from storewatch.tools import find_program

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
        url = f"http://127.0.0.1:{port}"
        with running(argv, folder / "log", f"{url}/-/ready"):
            yield Manager(url, desk_port)


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
