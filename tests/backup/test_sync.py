"""A tier that was down is caught up from one that was not."""

import json
import os
from datetime import timedelta

from aged_points import put_point, store, with_lsn
from backup_damage import edit, flip, smaller
from backup_house import House, kill_once_it_says, names
from loopback import free_port

from backup.backup import run_backup
from backup.catalogue import list_recovery_points, tier_settings, verify
from backup.manifest import FILE_NAME, INCREMENTAL
from backup.recovery.point_in_time import restore_to
from backup.sync import sync
from backup.wal.names import WalFile
from storewatch.core.clock import utc_now
from storewatch.core.targets import Verdict

DAY = timedelta(days=1)


def test_a_tier_that_was_down_is_degraded_and_then_caught_up(files_house: House) -> None:
    endpoint = files_house.raw["tiers"][1]["endpoint_url"]
    files_house.raw["tiers"][1]["endpoint_url"] = f"http://127.0.0.1:{free_port()}"
    made = run_backup(files_house.settings, files_house.evidence)
    assert [note for note in made.notes if note.startswith("degraded: tier off-site")]
    down = sync(files_house.settings, "off-site", files_house.evidence)
    assert down.verdict == Verdict.FAIL
    files_house.raw["tiers"][1]["endpoint_url"] = endpoint
    (files_house.home / "identity.txt").rename(files_house.home / "elsewhere")
    done = sync(files_house.settings, "off-site", files_house.evidence)
    assert done.verdict == Verdict.PASS, done.notes
    assert (done.kind, done.subject) == ("sync", "off-site")
    assert done.value("points_copied") == 1
    (point,) = list_recovery_points(files_house.settings).points
    assert point.tiers == ("local", "off-site", "cloud")
    assert verify(files_house.settings, "off-site")[1] == []
    (files_house.home / "elsewhere").rename(files_house.home / "identity.txt")
    restore_to(files_house.settings, "off-site", files_house.home / "restored")
    assert len(names(files_house.home / "restored" / "files-images")) == 20
    again = sync(files_house.settings, "off-site", files_house.evidence)
    assert (again.verdict, again.value("objects_copied")) == (Verdict.PASS, 0)


def test_what_the_retention_would_delete_is_not_brought(files_house: House) -> None:
    files_house.raw["tiers"][1]["retention"] = {"last": 2}
    made = [put_point(files_house.settings, utc_now() - age * DAY) for age in (4, 3, 2, 1)]
    done = sync(files_house.settings, "off-site", files_house.evidence)
    assert done.value("points_copied") == 2
    assert set(names(files_house.stored("off-site"))) - {"lock"} == {made[2].id, made[3].id}


def test_a_parent_is_brought_before_what_builds_on_it(files_house: House) -> None:
    files_house.raw["tiers"][1]["retention"] = {"last": 1}
    full = put_point(files_house.settings, utc_now() - 2 * DAY)
    put_point(files_house.settings, utc_now() - DAY, kind=INCREMENTAL, parent=full.id)
    done = sync(files_house.settings, "off-site", files_house.evidence)
    copied = [note for note in done.notes if note.startswith("copied")]
    assert copied[0] == f"copied: {full.id}"
    assert len(copied) == 2


def test_a_damaged_source_is_passed_over_for_a_good_one(files_house: House) -> None:
    made = put_point(files_house.settings, utc_now() - DAY, ("local", "cloud"))
    flip(files_house.stored("local") / made.id / "a.tar.zst.age")
    done = sync(files_house.settings, "off-site", files_house.evidence)
    assert done.verdict == Verdict.PASS, done.notes
    assert verify(files_house.settings, "off-site")[1] == []
    made = put_point(files_house.settings, utc_now() - DAY / 2, ("local", "cloud"))
    for tier in ("local", "cloud"):
        flip(files_house.stored(tier) / made.id / "a.tar.zst.age")
    done = sync(files_house.settings, "off-site", files_house.evidence)
    assert done.verdict == Verdict.FAIL
    assert done.value("lacking") == 1
    assert "a.tar.zst.age is damaged" in " ".join(done.notes)
    assert not (files_house.stored("off-site") / made.id / FILE_NAME).exists()


def test_an_object_that_vanished_is_brought_back(files_house: House) -> None:
    made = put_point(files_house.settings, utc_now() - DAY, ("local", "off-site"))
    (files_house.stored("local") / made.id / "b.rdb.zst.age").unlink()
    done = sync(files_house.settings, "local", files_house.evidence)
    assert done.value("objects_copied") == 1
    assert verify(files_house.settings, "local")[1] == []


def test_manifests_that_differ_are_named_and_neither_is_touched(files_house: House) -> None:
    made = put_point(files_house.settings, utc_now() - DAY, ("local", "off-site"))
    forged = files_house.stored("off-site") / made.id / FILE_NAME
    edit(smaller, digest=True)(forged)
    content = forged.read_bytes()
    done = sync(files_house.settings, "local", files_house.evidence)
    assert done.verdict == Verdict.FAIL
    assert done.value("differing") == 1
    assert forged.read_bytes() == content


_CHILD = """
import sys
from pathlib import Path
from backup.settings import BackupSettings
from backup.sync import sync
from storewatch.store.evidence import EvidenceStore

settings = BackupSettings.model_validate_json(sys.stdin.readline())
def progress(label, done, total):
    if label == "from local: a.tar.zst.age" and done > total / 2:
        print("half", flush=True)
        sys.stdin.read()
sync(settings, "off-site", EvidenceStore(Path(sys.argv[1])), progress)
"""


def test_a_killed_sync_leaves_nothing_that_counts_and_the_next_fetches_only_the_rest(
    files_house: House,
) -> None:
    put_point(files_house.settings, utc_now() - DAY, size=8_000_000)
    kill_once_it_says("half", _CHILD, files_house)
    assert not list(files_house.stored("off-site").rglob(FILE_NAME))
    fetched: list[int] = []

    def watch(label: str, done: int, _total: int | None) -> None:
        if label == "from local: a.tar.zst.age":
            fetched.append(done)

    done = sync(files_house.settings, "off-site", files_house.evidence, watch)
    assert done.verdict == Verdict.PASS, done.notes
    assert fetched[0] > 4_000_000
    assert verify(files_house.settings, "off-site")[1] == []
    assert names(files_house.home / "spool" / "sync") == ["lock"]


def wal_of(house: House, tier: str, number: int, content: bytes, plain: str = "") -> None:
    file = WalFile.make(f"00000001{0:08X}{number:08X}", utc_now(), plain or os.urandom(32).hex())
    settings = tier_settings(house.settings, tier)
    store(house.settings, settings, file.key(house.settings.subject, "77"), content)


SEALED = b"age-encryption.org/v1\n" + b"x" * 500


def test_wal_is_brought_from_the_oldest_base_on(files_house: House) -> None:
    put_point(files_house.settings, utc_now() - DAY, sources=with_lsn(20))
    for number in (19, 20, 21):
        wal_of(files_house, "local", number, SEALED)
    facts = files_house.stored("local") / "wal" / "77" / "wal.json"
    facts.write_text(json.dumps({"wal_segment_bytes": 1 << 20}))
    done = sync(files_house.settings, "off-site", files_house.evidence)
    assert done.verdict == Verdict.PASS, done.notes
    brought = files_house.stored("off-site") / "wal" / "77"
    left = sorted(path.name[16:24] for path in (brought / "00000001").iterdir())
    assert [int(name, 16) for name in left] == [20, 21]
    assert (brought / "wal.json").read_text() == facts.read_text()


def test_wal_with_other_bytes_is_named_and_damaged_wal_is_not_copied(files_house: House) -> None:
    both = ("local", "off-site")
    put_point(files_house.settings, utc_now() - DAY, both, sources=with_lsn(20))
    for tier in both:
        wal_of(files_house, tier, 20, SEALED)
    wal_of(files_house, "local", 21, b"no age")
    facts = files_house.stored("local") / "wal" / "77" / "wal.json"
    facts.write_text(json.dumps({"wal_segment_bytes": 1 << 20}))
    done = sync(files_house.settings, "off-site", files_house.evidence)
    assert done.verdict == Verdict.FAIL
    assert (done.value("differing"), done.value("lacking")) == (1, 1)
    assert "000000010000000000000014 has other bytes" in " ".join(done.notes)
