"""A prune deletes what it should, and with any doubt nothing."""

import json
import os
import threading
from datetime import timedelta
from typing import Any

import pytest
from aged_points import DAY, id_at, points_of, put_point
from backup_damage import edit, flip
from backup_house import House, names

from backup.catalogue import list_recovery_points
from backup.manifest import FILE_NAME, INCREMENTAL
from backup.pins import pin, unpin
from backup.prune import prune
from backup.prune_plan import make_plan
from backup.tiers.lease import Lease
from backup.tiers.registry import open_tier
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict


def run(house: House, tier: str = "local", ahead: timedelta = timedelta()) -> Evidence:
    return prune(house.settings, tier, house.evidence, clock=lambda: utc_now() + ahead)


def ids(house: House, tier: str = "local") -> list[str]:
    catalogue = list_recovery_points(house.settings)
    return sorted(p.manifest.id for p in catalogue.points if tier in p.tiers)


@pytest.mark.parametrize("tier", ["local", "off-site"])
def test_what_no_rule_wants_is_deleted_and_the_rest_is_whole(old_house: House, tier: str) -> None:
    made = points_of(old_house, 4, 3, 2, 1, tiers=("local", "off-site"))
    done = run(old_house, tier)
    assert done.verdict == Verdict.PASS, done.notes
    assert (done.kind, done.subject) == ("prune", tier)
    assert done.value("points_deleted") == 2
    assert done.value("points_kept") == 2
    assert done.value("verified_copies") == 1
    assert ids(old_house, tier) == [made[2].id, made[3].id]
    left = {path.name for path in old_house.stored(tier).iterdir() if path.name != "lock"}
    assert left == {made[2].id, made[3].id}
    other = "off-site" if tier == "local" else "local"
    assert len(ids(old_house, other)) == 4
    again = run(old_house, tier)
    assert again.value("points_deleted") == 0


def test_a_dry_run_tells_the_same_and_deletes_nothing(old_house: House) -> None:
    made = points_of(old_house, 4, 3, 2)
    plan = make_plan(old_house.settings, open_tier(old_house.settings, "local"))
    assert [one.id for one in plan.going] == [made[0].id]
    assert plan.judged[made[2].id].reasons == ["number 1 of the newest 2"]
    assert len(ids(old_house)) == 3


def test_a_parent_is_not_pruned_before_its_children(old_house: House) -> None:
    (full,) = points_of(old_house, 5)
    now = utc_now()
    links = [full]
    for age in (4, 3, 2, 1):
        links.append(
            put_point(old_house.settings, now - age * DAY, kind=INCREMENTAL, parent=links[-1].id)
        )
    assert run(old_house).value("points_deleted") == 0
    points_of(old_house, 0.2, 0.1)
    assert run(old_house).value("points_deleted") == 5


def test_a_pinned_one_stays_until_it_is_unpinned(old_house: House) -> None:
    made = points_of(old_house, 5, 2, 1)
    assert pin(old_house.settings, made[0].id, "before the migration") == ["local"]
    assert run(old_house).value("points_deleted") == 0
    with pytest.raises(UsageError, match="pinned already: before the migration"):
        pin(old_house.settings, made[0].id, "again")
    with pytest.raises(UsageError, match="no tier holds"):
        pin(old_house.settings, id_at(utc_now()), "nothing")
    assert unpin(old_house.settings, made[0].id) == ["local"]
    assert run(old_house).value("points_deleted") == 1


def clock_back(house: House) -> timedelta:
    return -2 * DAY


def clock_ahead(house: House) -> timedelta:
    return 9 * DAY


def forged_future(house: House) -> timedelta:
    put_point(house.settings, utc_now() + 3 * DAY)
    return timedelta()


def forged_past(house: House) -> timedelta:
    put_point(house.settings, utc_now() - 3 * DAY, id=id_at(utc_now()))
    return timedelta()


@pytest.mark.parametrize("jump", [clock_back, clock_ahead, forged_future, forged_past])
def test_with_a_clock_or_a_time_that_cannot_be_true_nothing_is_deleted(
    old_house: House, jump: Any
) -> None:
    points_of(old_house, 5, 4, 3, 1)
    ahead = jump(old_house)
    before = ids(old_house)
    done = run(old_house, ahead=ahead)
    assert done.verdict == Verdict.FAIL
    assert any(note.startswith("refused: ") for note in done.notes), done.notes
    assert ids(old_house) == before


def test_a_clock_that_went_back_after_a_prune_is_noticed_by_what_was_seen(
    old_house: House,
) -> None:
    points_of(old_house, 3, 2, 1)
    assert run(old_house).verdict == Verdict.PASS
    seen = old_house.home / "spool" / "state" / "clock.json"
    ahead = json.loads(seen.read_text()) | {"wall": (utc_now() + DAY).isoformat(), "boot": "x"}
    seen.write_text(json.dumps(ahead))
    points_of(old_house, 0.5)
    done = run(old_house)
    assert done.verdict == Verdict.FAIL
    assert "was at" in " ".join(done.notes)
    assert done.value("points_deleted") == 0


def test_files_times_mean_nothing(old_house: House) -> None:
    made = points_of(old_house, 5, 2, 1)
    for path in old_house.stored("local").rglob("*"):
        os.utime(path, (1, 1))
    for path in (old_house.stored("local") / made[0].id).rglob("*"):
        os.utime(path)
    assert run(old_house).value("points_deleted") == 1
    assert ids(old_house) == [made[1].id, made[2].id]


def test_no_complete_recovery_point_left_means_that_nothing_is_deleted(old_house: House) -> None:
    for age in (5, 4, 3):
        put_point(old_house.settings, utc_now() - age * DAY, problems=("files: gone",))
    done = run(old_house)
    assert done.verdict == Verdict.FAIL
    assert "no complete recovery point would remain" in " ".join(done.notes)
    assert len(ids(old_house)) == 3


def test_a_damaged_copy_does_not_count_and_an_old_good_one_stays_for_it(old_house: House) -> None:
    made = points_of(old_house, 5, 4, 2, 1)
    for one in made[2:]:
        flip(old_house.stored("local") / one.id / "a.tar.zst.age")
    done = run(old_house)
    assert done.verdict == Verdict.FAIL
    assert done.value("damaged") == 2
    assert "a.tar.zst.age is damaged" in " ".join(done.notes)
    assert ids(old_house) == [one.id for one in made[1:]]


def test_nothing_newer_than_the_newest_good_copy_goes(old_house: House) -> None:
    old_house.raw["tiers"][0]["retention"]["last"] = 1
    made = points_of(old_house, 5, 3, 2, 1)
    pin(old_house.settings, made[0].id, "good and old")
    flip(old_house.stored("local") / made[3].id / "a.tar.zst.age")
    done = run(old_house)
    assert done.value("points_deleted") == 0
    assert ids(old_house) == [one.id for one in made]


def test_fewer_verified_copies_than_the_minimum_mean_that_nothing_is_deleted(
    old_house: House,
) -> None:
    old_house.raw["tiers"][0]["retention"]["minimum"] = 4
    made = points_of(old_house, 5, 4, 2, 1)
    (old_house.stored("local") / made[0].id / "b.rdb.zst.age").unlink()
    done = run(old_house)
    assert done.verdict == Verdict.FAIL
    assert "3 copies can be read back whole, 4 must stay" in " ".join(done.notes)
    assert len(ids(old_house)) == 4


def test_what_was_verified_lately_is_not_read_again(old_house: House) -> None:
    points_of(old_house, 3, 2, 1)
    read: list[str] = []
    old_house.raw["tiers"][0]["retention"]["minimum"] = 2
    prune(old_house.settings, "local", old_house.evidence, lambda label, *_: read.append(label))
    assert any(label.startswith("verify local") for label in read)
    read.clear()
    points_of(old_house, 0.1)
    old_house.raw["tiers"][0]["retention"]["last"] = 1
    prune(old_house.settings, "local", old_house.evidence, lambda label, *_: read.append(label))
    assert len([label for label in read if label.startswith("verify")]) == 2  # the new one's two


def test_a_damaged_manifest_is_named_and_its_objects_are_left_alone(old_house: House) -> None:
    made = points_of(old_house, 5, 3, 2, 1)
    folder = old_house.stored("local") / made[0].id
    edit(lambda members: members.update(id="x"), digest=False)(folder / FILE_NAME)
    done = run(old_house)
    assert done.value("damaged") == 1
    assert done.value("points_deleted") == 1
    assert len(names(folder)) == 3


def test_objects_of_a_backup_that_broke_off_are_swept_after_a_day(old_house: House) -> None:
    made = points_of(old_house, 9, 1, 0.5)
    old, young = id_at(utc_now() - 2 * DAY), id_at(utc_now() - DAY / 2)
    brought_now = id_at(utc_now() - 3 * DAY)
    stored = old_house.stored("local")
    (stored / brought_now).mkdir()
    (stored / brought_now / "a.tar.zst.age").write_bytes(b"x")
    for identifier in (old, young):
        (stored / identifier).mkdir()
        for name in ("a.tar.zst.age", ".incoming-x"):
            (stored / identifier / name).write_bytes(b"x")
            os.utime(stored / identifier / name, (1, 1))
    assert run(old_house).value("objects_swept") == 3
    left = {path.name for path in stored.iterdir()}
    assert left == {young, brought_now, made[1].id, made[2].id}


def test_what_sync_should_bring_back_is_not_swept(old_house: House) -> None:
    made = points_of(old_house, 9, 1, 0.5, tiers=("local", "off-site"))
    (old_house.stored("local") / made[2].id / FILE_NAME).unlink()
    for path in old_house.stored("local").rglob("*.age"):
        os.utime(path, (1, 1))
    done = run(old_house, ahead=timedelta())
    assert done.value("objects_swept") == 0
    assert len(names(old_house.stored("local") / made[2].id)) == 2


def test_a_backup_under_way_keeps_a_prune_away(old_house: House) -> None:
    points_of(old_house, 3, 2, 1)
    tier = open_tier(old_house.settings, "local")
    with Lease(tier, old_house.settings.subject, "a backup", exclusive=False):
        done = run(old_house)
    assert done.verdict == Verdict.INCONCLUSIVE
    assert "a backup is at work" in done.notes[0]
    assert len(ids(old_house)) == 3


def test_of_two_prunes_at_once_one_works(old_house: House) -> None:
    points_of(old_house, *range(20, 0, -1))
    barrier, done = threading.Barrier(2), []

    def work() -> None:
        barrier.wait()
        done.append(run(old_house))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Verdict.PASS in {one.verdict for one in done}
    assert {one.verdict for one in done} <= {Verdict.PASS, Verdict.INCONCLUSIVE}
    assert len(ids(old_house)) == 2


def test_a_tier_without_retention_or_credential_is_not_pruned(old_house: House) -> None:
    with pytest.raises(UsageError, match="give prune_access_key"):
        run(old_house, "cloud")
    del old_house.raw["tiers"][0]["retention"]
    with pytest.raises(UsageError, match="tier local has no retention"):
        run(old_house)


def test_a_tier_that_is_down_is_a_failed_prune(old_house: House) -> None:
    old_house.raw["tiers"][1]["endpoint_url"] = "http://127.0.0.1:1"
    done = run(old_house, "off-site")
    assert done.verdict == Verdict.FAIL
    assert "tier off-site" in done.notes[0]
