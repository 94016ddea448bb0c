import json
import stat
from pathlib import Path

import pytest

from storewatch.core.errors import UsageError
from storewatch.core.evidence import Measurement, new_id
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import sha256_file

FAST = Measurement("p95_s", 0.1, "s", Target.parse("< 0.2"))


def test_evidence_is_written_in_the_published_form(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, {"version": "1"})
    draft = store.open("load", "checkout/baseline")
    (draft.folder / "report.html").write_text("x")
    evidence = draft.finish([FAST, Measurement("requests", 9, "requests")], ["a note"])
    raw = json.loads((store.folder(evidence) / "evidence.json").read_text())
    assert raw["verdict"] == "PASS"
    assert raw["measurements"][0]["target"] == "< 0.2"
    assert raw["measurements"][1] == {
        "name": "requests", "value": 9, "unit": "requests", "target": None, "verdict": None,
    }  # fmt: skip
    assert raw["artefacts"] == [
        {"path": "report.html", "sha256": sha256_file(draft.folder / "report.html")}
    ]
    assert raw["context"] == {"version": "1"}
    assert raw["notes"] == ["a note"]


def test_what_was_written_is_read_back_equal(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    written = store.open("drill", "cloud").finish([FAST], overrides=[Verdict.INVALID])
    read = store.get(written.id)
    assert read.verdict is Verdict.INVALID
    assert read.measurements == written.measurements


def test_a_rehearsal_that_was_cut_off_is_no_evidence(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    store.open("load", "x")
    half = store.open("load", "x")
    (half.folder / "evidence.json").write_text('{"id": ')
    assert store.list() == []


def test_evidence_is_listed_newest_first_and_by_kind_and_subject(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    first = store.open("load", "a").finish([FAST])
    second = store.open("drill", "a").finish([FAST])
    third = store.open("load", "b").finish([FAST])
    assert [e.id for e in store.list()] == sorted([first.id, second.id, third.id], reverse=True)
    assert [e.id for e in store.list("load", "a")] == [first.id]


def test_the_newest_few_are_listed_without_reading_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EvidenceStore(tmp_path)
    ids = sorted(store.open("drill", name).finish([FAST]).id for name in ("cloud", "local") * 3)
    read: list[str] = []
    real = EvidenceStore._read
    monkeypatch.setattr(store, "_read", lambda path: (read.append(path.parent.name), real(path))[1])
    assert [e.id for e in store.list("drill", limit=2)] == read == ids[:-3:-1]
    assert len(store.list("drill", "cloud", limit=2)) == 2
    assert store.list("drill", limit=0) == []


def test_the_record_is_for_its_owner_only(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    evidence = store.open("load", "a").finish([FAST])
    mode = (store.folder(evidence) / "evidence.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_an_unknown_id_and_a_path_as_id_are_refused(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    for identifier in (new_id(), "../../etc", "*"):
        with pytest.raises(UsageError, match="no evidence"):
            store.get(identifier)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no kind of evidence"):
        EvidenceStore(tmp_path).open("guess", "x")


def test_ids_sort_by_time_and_have_the_form_of_a_ulid() -> None:
    ids = [new_id() for _ in range(5)]
    assert all(len(i) == 26 and i.isalnum() for i in ids)
    assert ids[0][:8] <= ids[-1][:8]
