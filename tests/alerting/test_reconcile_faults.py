"""The book of incidents beside an Alertmanager that fails, forgets or is overtaken."""

import threading
from typing import Any

import pytest
from incident_book import incidents
from running import until
from sqlalchemy.exc import OperationalError

from alerting.incident import Alert
from alerting.incidents import IncidentBook
from alerting.reconcile import LOOK_EVERY_S, LOOKS_BEFORE_RESOLVING, Reconciler
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import UnreachableError


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
