import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from alerting.incident import Alert, normal_moment
from alerting.incidents import IncidentBook
from storewatch.core.errors import UsageError
from storewatch.store.database import open_database

FIRST = Alert(
    fingerprint="a1",
    labels={"alertname": "CheckoutFailing", "severity": "page", "journey": "checkout"},
    annotations={"summary": "checkout fails", "runbook": "runbooks/pages/CheckoutFailing.md"},
    starts_at="2026-11-22T10:00:00.000Z",
    firing=True,
)
AGAIN = replace(FIRST, starts_at="2026-11-22T11:00:00.000Z")


def over(alert: Alert) -> Alert:
    return replace(alert, firing=False)


@pytest.fixture
def book(tmp_path: Path) -> IncidentBook:
    return IncidentBook(open_database(f"sqlite:///{tmp_path / 'state.db'}"))


def kinds(book: IncidentBook, identifier: str) -> list[str]:
    return [entry.kind for entry in book.get(identifier).timeline]


def counts(opened: int = 0, updated: int = 0, resolved: int = 0) -> dict[str, int]:
    return {"opened": opened, "updated": updated, "resolved": resolved}


def test_an_alert_opens_an_incident_with_all_that_is_known(book: IncidentBook) -> None:
    assert book.receive([FIRST]) == counts(opened=1)
    (incident,) = book.list()
    assert (incident.alert, incident.severity, incident.state) == (
        "CheckoutFailing",
        "page",
        "open",
    )
    assert incident.summary == "checkout fails"
    assert incident.runbook == "runbooks/pages/CheckoutFailing.md"
    assert incident.labels == FIRST.labels
    assert kinds(book, incident.id) == ["opened"]


def test_the_same_delivery_twice_changes_nothing(book: IncidentBook) -> None:
    book.receive([FIRST])
    before = book.get(book.list()[0].id)
    assert book.receive([FIRST, FIRST]) == counts()
    assert book.get(before.id) == before


def test_a_new_summary_updates_the_incident(book: IncidentBook) -> None:
    book.receive([FIRST])
    changed = replace(FIRST, annotations={"summary": "it is worse"})
    assert book.receive([changed]) == counts(updated=1)
    (incident,) = book.list()
    assert incident.summary == "it is worse"
    assert kinds(book, incident.id) == ["opened", "updated"]


def test_the_end_of_an_alert_resolves_its_incident_once(book: IncidentBook) -> None:
    book.receive([FIRST])
    assert book.receive([over(FIRST)]) == counts(resolved=1)
    assert book.receive([over(FIRST)]) == counts()
    assert book.receive([FIRST]) == counts()  # a late copy of the first notice
    (incident,) = book.list()
    assert incident.state == "resolved"
    assert incident.resolved_at is not None
    assert kinds(book, incident.id) == ["opened", "resolved"]
    assert book.list(unresolved_only=True) == []


def test_an_end_without_a_beginning_is_kept_as_a_resolved_incident(book: IncidentBook) -> None:
    assert book.receive([over(FIRST)]) == counts(resolved=1)
    assert book.receive([FIRST]) == counts()
    (incident,) = book.list()
    assert incident.state == "resolved"
    assert kinds(book, incident.id) == ["opened", "resolved"]


def test_an_alert_that_fires_again_opens_a_new_incident(book: IncidentBook) -> None:
    book.receive([FIRST, over(FIRST)])
    assert book.receive([AGAIN]) == counts(opened=1)
    states = [incident.state for incident in book.list()]
    assert sorted(states) == ["open", "resolved"]


def test_a_new_start_without_an_end_goes_on_with_the_same_incident(book: IncidentBook) -> None:
    book.receive([FIRST])
    assert book.receive([AGAIN]) == counts(updated=1)
    assert book.receive([AGAIN]) == counts()
    (incident,) = book.list()
    assert incident.starts_at == AGAIN.starts_at


def test_the_late_end_of_an_old_start_does_not_resolve_what_fires_now(book: IncidentBook) -> None:
    book.receive([FIRST, AGAIN])
    assert book.receive([over(FIRST)]) == counts()
    assert book.list()[0].state == "open"
    assert book.receive([over(AGAIN)]) == counts(resolved=1)


def test_a_late_copy_of_an_old_alert_does_not_touch_the_new_incident(book: IncidentBook) -> None:
    book.receive([FIRST, over(FIRST), AGAIN])
    late = replace(FIRST, annotations={"summary": "old news"})
    assert book.receive([late, over(FIRST)]) == counts()
    (incident,) = book.list(unresolved_only=True)
    assert incident.summary == "checkout fails"


@pytest.mark.parametrize("alert", [FIRST, over(FIRST)], ids=["firing", "resolved"])
def test_many_deliveries_at_once_make_one_incident(book: IncidentBook, alert: Alert) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _n: book.receive([alert]), range(24)))
    assert sum(sum(result.values()) for result in results) == 1
    assert len(book.list()) == 1
    assert len(book.get(book.list()[0].id).timeline) == 1 + (not alert.firing)


def test_many_ends_at_once_are_one_end(book: IncidentBook) -> None:
    book.receive([FIRST])
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _n: book.receive([over(FIRST)]), range(24)))
    assert sum(result["resolved"] for result in results) == 1
    assert kinds(book, book.list()[0].id) == ["opened", "resolved"]


def test_two_starts_at_once_make_one_incident(book: IncidentBook) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: book.receive([AGAIN if n % 2 else FIRST]), range(24)))
    assert len(book.list()) == 1


def test_two_processes_with_one_database_make_one_incident(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    books = [IncidentBook(open_database(url)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda book: book.receive([FIRST]), books * 4))
    assert len(books[0].list()) == 1


def test_an_incident_is_acknowledged_and_resolved_by_hand(book: IncidentBook) -> None:
    book.receive([FIRST])
    identifier = book.list()[0].id
    assert book.acknowledge(identifier[-6:].lower(), "kim").state == "acknowledged"
    assert book.resolve(identifier, "kim").state == "resolved"
    assert [(e.kind, e.text) for e in book.get(identifier).timeline[1:]] == [
        ("acknowledged", "acknowledged by kim"),
        ("resolved", "resolved by kim"),
    ]
    assert book.receive([FIRST]) == counts()  # it fires still: a person has decided


@pytest.mark.parametrize("act", [IncidentBook.acknowledge, IncidentBook.resolve])
def test_a_resolved_incident_stays_resolved(
    book: IncidentBook, act: Callable[[IncidentBook, str, str], object]
) -> None:
    book.receive([FIRST, over(FIRST)])
    (incident,) = book.list()
    with pytest.raises(UsageError, match=f"incident {incident.id} was resolved at 2"):
        act(book, incident.id, "kim")
    assert book.get(incident.id).state == "resolved"


def test_an_acknowledgement_that_comes_while_the_alert_ends_does_not_reopen(
    book: IncidentBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.receive([FIRST])
    (incident,) = book.list()
    look = book.get

    def look_then_end(identifier: str) -> object:
        found = look(identifier)
        book.receive([over(FIRST)])
        return found

    monkeypatch.setattr(book, "get", look_then_end)
    with pytest.raises(UsageError, match="was resolved at"):
        book.acknowledge(incident.id, "kim")
    assert look(incident.id).state == "resolved"


def test_an_id_that_is_unknown_or_of_several_incidents_is_one_line(book: IncidentBook) -> None:
    book.receive([FIRST, replace(FIRST, fingerprint="b2")])
    with pytest.raises(UsageError, match="no incident with id 'ZZZZ'; `storewatch incident list`"):
        book.get("zzzz".upper())
    with pytest.raises(UsageError, match="2 incidents with id ''"):
        book.get("")
    with pytest.raises(UsageError, match="no incident"):
        book.get("%")


def test_a_write_that_fails_half_way_leaves_nothing(
    book: IncidentBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO timeline"):
            raise OSError("the disk is full")

    event.listen(book._engine, "before_cursor_execute", fail)
    with pytest.raises(OSError, match="disk is full"):
        book.receive([FIRST])
    event.remove(book._engine, "before_cursor_execute", fail)
    assert book.list() == []
    assert book.receive([FIRST]) == counts(opened=1)


def test_settling_leaves_alone_what_was_resolved_meanwhile(book: IncidentBook) -> None:
    book.receive([FIRST, replace(FIRST, fingerprint="b2")])
    one, other = (incident.id for incident in book.list())
    book.resolve(one, "kim")
    assert book.settle([one, other]) == 1
    assert [entry.text for entry in book.get(one).timeline][-1] == "resolved by kim"
    assert book.list(unresolved_only=True) == []


def test_deliveries_are_incidents_that_carry_the_labels_since_a_moment(book: IncidentBook) -> None:
    before = time.time()
    book.receive([FIRST, replace(FIRST, fingerprint="b2", labels={"alertname": "Other"})])
    (found,) = book.deliveries({"alertname": "CheckoutFailing", "severity": "page"}, before)
    assert before <= found.opened_unix_s <= time.time()
    assert found.resolved_unix_s is None
    assert book.deliveries({"alertname": "CheckoutFailing", "severity": "ticket"}, before) == []
    assert book.deliveries({"alertname": "CheckoutFailing"}, time.time()) == []
    book.receive([over(FIRST)])
    (ended,) = book.deliveries({"alertname": "CheckoutFailing"}, before)
    assert ended.resolved_unix_s is not None
    assert ended.resolved_unix_s >= ended.opened_unix_s


def test_moments_of_api_and_webhook_are_one_moment() -> None:
    assert normal_moment("2026-11-22T10:00:00.123456789Z") == "2026-11-22T10:00:00.123Z"
    assert normal_moment("2026-11-22T11:00:00.123+01:00") == "2026-11-22T10:00:00.123Z"
    with pytest.raises(ValueError, match="time zone"):
        normal_moment("2026-11-22T10:00:00")


def test_labels_longer_than_the_columns_are_cut_and_kept_whole_in_the_labels(
    book: IncidentBook,
) -> None:
    labels = {"alertname": "A" * 300, "severity": "s" * 300}
    book.receive([replace(FIRST, labels=labels)])
    (incident,) = book.list()
    assert (len(incident.alert), len(incident.severity)) == (200, 20)
    assert incident.labels == labels
