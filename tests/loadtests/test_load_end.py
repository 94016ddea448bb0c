"""What ends a load test, and what of it is kept then."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from load_shop import SmallShop, settings_for, whole

from loadtests.judging import Surroundings
from loadtests.process import Crew, RunningLoad
from loadtests.run import Wish, run_load
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

LONG = {"long": {"rate": 10, "warm_up": "500ms", "hold": "10m"}}


def test_a_generator_that_is_ended_from_outside_makes_the_run_invalid(
    shop: SmallShop, books: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunningLoad, "wait", RunningLoad.stop)
    settings = whole(shop.url, books, profiles={"long": {"rate": 20, "hold": "1h"}})
    evidence = run_load(settings, Wish("buy", "long"), EvidenceStore(tmp_path), lambda _line: None)
    assert evidence.verdict is Verdict.INVALID
    assert any("the run ended after" in note for note in evidence.notes)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_who_interrupts_gets_what_was_measured_until_then(
    interruption: type[BaseException],
    shop: SmallShop,
    books: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = threading.Event()
    shop.before = lambda _path, count: count > 20 and served.set()

    def interrupted(_: RunningLoad) -> None:
        assert served.wait(30)
        raise interruption

    monkeypatch.setattr(RunningLoad, "wait", interrupted)
    store = EvidenceStore(tmp_path)
    with pytest.raises(interruption):
        run_load(whole(shop.url, books, profiles=LONG), Wish("buy", "long"), store, lambda _: None)
    (evidence,) = store.list()
    assert evidence.verdict is Verdict.INVALID
    assert "the run ended after" in evidence.notes[0]
    assert (evidence.value("orders_acknowledged") or 0) >= 5
    assert (store.folder(evidence) / "report.html").exists()


def test_who_interrupts_twice_ends_the_generator_at_once(
    shop: SmallShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[RunningLoad] = []

    def interrupt(self: RunningLoad) -> None:
        loads.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunningLoad, "wait", interrupt)
    monkeypatch.setattr(RunningLoad, "stop", interrupt)
    store = EvidenceStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_load(whole(shop.url, None, profiles=LONG), Wish("look", "long"), store, lambda _: None)
    assert all(one.poll() is not None for one in loads[0]._processes)
    assert store.list() == []


def test_a_run_is_given_up_once_a_target_is_out_of_reach(shop: SmallShop, tmp_path: Path) -> None:
    settings = whole(shop.url, None, profiles=LONG, targets={"error_ratio": "< 0.001"})
    store = EvidenceStore(tmp_path)
    evidence = run_load(settings, Wish("mixed", "long"), store, lambda _line: None)
    assert evidence.verdict is Verdict.FAIL
    (note,) = (note for note in evidence.notes if note.startswith("given up after"))
    assert "error_ratio < 0.001 is out of reach: it will be" in note
    assert evidence.duration_s < 60


def test_a_run_is_ended_when_an_incident_begins(shop: SmallShop, tmp_path: Path) -> None:
    evidence = run_load(
        whole(shop.url, None, profiles=LONG),
        Wish("look", "long"),
        EvidenceStore(tmp_path),
        lambda _line: None,
        Surroundings(lambda moment: "ShopDown (it does not answer)" if moment < utc_now() else ""),
    )
    assert evidence.verdict is Verdict.INVALID
    # First, whatever a busy machine adds.
    ended = "INVALID: ended, because an incident began: ShopDown (it does not answer)"
    assert evidence.notes[0] == ended
    assert evidence.duration_s < 60


def test_a_search_for_the_breaking_point_is_not_ended_by_what_breaks(
    shop: SmallShop, tmp_path: Path
) -> None:
    steps = {"shape": "breakpoint", "rate": 10, "by": 10, "steps": 2, "hold": "1s", "pause": "1s"}
    evidence = run_load(
        whole(shop.url, None, profiles={"climb": {**steps, "warm_up": "500ms"}}),
        Wish("look", "climb"),
        EvidenceStore(tmp_path),
        lambda _line: None,
        Surroundings(lambda _moment: "ShopDown"),
    )
    assert evidence.value("sustained_per_s") == 20
    assert not any("incident" in note for note in evidence.notes)


def test_incidents_that_cannot_be_asked_for_are_named_and_end_nothing(
    shop: SmallShop, tmp_path: Path
) -> None:
    def locked(_moment: object) -> str:
        raise OSError("database is locked")

    store = EvidenceStore(tmp_path)
    around = Surroundings(locked)
    settings = whole(shop.url, None)
    evidence = run_load(settings, Wish("look", "short"), store, lambda _line: None, around)
    assert evidence.value("requests") == 40
    assert any(
        note.endswith("incidents were not seen: database is locked") for note in evidence.notes
    )


def test_a_run_whose_books_cannot_be_read_at_its_end_is_kept(
    shop: SmallShop, books: dict[str, Any], tmp_path: Path
) -> None:
    store = EvidenceStore(tmp_path)
    unread = {**books, "database": "postgresql://postgres@127.0.0.1:9/shop"}
    settings = whole(shop.url, unread, targets={"p95_s": "< 5"})
    evidence = run_load(settings, Wish("buy", "short"), store, lambda _line: None)
    assert evidence.verdict in {Verdict.INCONCLUSIVE, Verdict.INVALID}  # that of a busy machine
    said = "INCONCLUSIVE: the orders are not accounted for: the shop's orders cannot be read"
    assert any(note.startswith(said) for note in evidence.notes)
    assert evidence.value("requests") == 80
    assert json.loads((store.folder(evidence) / "summary.json").read_text())["visits"] == 40


def test_asked_to_go_to_the_end_it_does(shop: SmallShop, tmp_path: Path) -> None:
    profiles = {"short": {"rate": 10, "warm_up": "500ms", "hold": "11s"}}
    settings = whole(shop.url, None, profiles=profiles, targets={"error_ratio": "= 0"})
    evidence = run_load(
        settings,
        Wish("mixed", "short", gives_up=False),
        EvidenceStore(tmp_path),
        lambda _line: None,
        Surroundings(lambda _moment: "ShopDown"),
    )
    assert evidence.verdict is Verdict.FAIL
    assert evidence.duration_s > 11
    assert [note for note in evidence.notes if "given up" in note or "incident" in note] == []


def test_a_search_by_several_workers_needs_a_pause_in_which_they_can_tell(tmp_path: Path) -> None:
    steps = {"shape": "breakpoint", "rate": 10, "by": 10, "pause": "2s"}
    settings = settings_for("http://127.0.0.1:9", profiles={"climb": steps})
    store = EvidenceStore(tmp_path)
    with pytest.raises(UsageError, match=r"climb: pause 2 s is too short for several .* write 3s"):
        run_load(settings, Wish("look", "climb", crew=Crew(2)), store, lambda _line: None)
    assert store.list() == []
