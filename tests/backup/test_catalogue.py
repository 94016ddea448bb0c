"""What there is, read from the tiers alone; what is forged, foreign or damaged is refused."""

import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from aged_points import put_point
from backup_damage import edit, smaller
from backup_house import House, names

from backup.backup import run_backup
from backup.canary import canary
from backup.catalogue import list_recovery_points, read_manifest
from backup.deliver import deliver
from backup.errors import DamagedError
from backup.manifest import FILE_NAME
from backup.pins import pin
from backup.prune import prune
from backup.recovery.point_in_time import restore_to
from backup.sync import sync
from backup.tiers.registry import open_tier
from storewatch.core.clock import utc_now
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

DAY = timedelta(days=1)
ALL = ("local", "off-site", "cloud")


def test_with_the_state_lost_the_catalogue_is_what_the_tiers_hold(files_house: House) -> None:
    for _ in range(2):
        assert run_backup(files_house.settings, files_house.evidence).verdict == Verdict.PASS
    before = list_recovery_points(files_house.settings)
    pin(files_house.settings, before.points[1].manifest.id, "audit")
    for lost in ("spool", "evidence", "scratch"):
        shutil.rmtree(files_house.home / lost, ignore_errors=True)
    after = list_recovery_points(files_house.settings)
    assert after.problems == []
    assert [(p.manifest, p.tiers) for p in after.points] == [
        (p.manifest, p.tiers) for p in before.points
    ]
    assert after.points[1].standing["cloud"].judgement.point.pinned == "audit"
    anew = EvidenceStore(files_house.home)
    restore_to(files_house.settings, "cloud", files_house.home / "restored")
    assert len(names(files_house.home / "restored" / "files-images")) == 20
    assert run_backup(files_house.settings, anew).verdict == Verdict.PASS
    files_house.raw["tiers"][0]["retention"] = {"last": 1}
    assert prune(files_house.settings, "local", anew).value("points_deleted") == 1
    assert sync(files_house.settings, "off-site", anew).verdict == Verdict.PASS
    assert canary(files_house.settings, anew).verdict == Verdict.PASS


REJECTED = {
    "truncated": lambda file: os.truncate(file, 300),
    "edited": edit(smaller, digest=False),
    "emptied": lambda file: os.truncate(file, 0),
    "another subject's": edit(lambda members: members.update(subject="other"), digest=True),
    "another point's": edit(lambda members: members.update(id="0" * 26), digest=True),
}


@pytest.mark.parametrize("how", REJECTED)
def test_a_manifest_that_is_not_ours_is_rejected_and_another_tiers_is_used(
    files_house: House, how: str
) -> None:
    made = put_point(files_house.settings, utc_now() - DAY, ALL)
    REJECTED[how](files_house.stored("local") / made.id / FILE_NAME)
    catalogue = list_recovery_points(files_house.settings)
    assert [(p.manifest, p.tiers) for p in catalogue.points] == [(made, ("off-site", "cloud"))]
    assert len(catalogue.problems) == 1
    assert f"{made.id}/{FILE_NAME}" in catalogue.problems[0]
    with pytest.raises(DamagedError):
        tier = open_tier(files_house.settings, "local")
        read_manifest(tier, files_house.settings.subject, made.id)


def test_a_forged_manifest_loses_against_two_that_agree(files_house: House) -> None:
    made = put_point(files_house.settings, utc_now() - DAY, ALL)
    edit(smaller, digest=True)(files_house.stored("local") / made.id / FILE_NAME)
    catalogue = list_recovery_points(files_house.settings)
    assert [(p.manifest, p.tiers) for p in catalogue.points] == [(made, ("off-site", "cloud"))]
    assert "tier local: manifest of " in catalogue.problems[0]
    assert "differs from the one in tier off-site" in catalogue.problems[0]


def test_the_list_tells_when_a_copy_was_read_and_why_it_stays(files_house: House) -> None:
    files_house.raw["tiers"][0]["retention"] = {"last": 1, "within": "2d"}
    put_point(files_house.settings, utc_now() - 3 * DAY)
    assert run_backup(files_house.settings, files_house.evidence).verdict == Verdict.PASS
    newest, oldest = list_recovery_points(files_house.settings).points
    here = newest.standing["local"]
    assert here.verified_at is not None
    assert abs(here.verified_at - utc_now()) < timedelta(minutes=1)
    assert here.judgement.reasons == ["number 1 of the newest 1", "young"]
    assert here.judgement.until is not None
    assert newest.standing["cloud"].judgement.reasons == ["all stay here"]
    assert oldest.standing["local"].verified_at is None
    assert not oldest.standing["local"].judgement.kept


def test_backups_of_another_system_in_the_prefix_are_refused(files_house: House) -> None:
    settings, now = files_house.settings, utc_now()
    put_point(settings, now - DAY, sources={"postgres": {"system_identifier": "77"}})
    ours = put_point(settings, now, ("cloud",), sources={"postgres": {"system_identifier": "88"}})
    folder = files_house.home / "delivered"
    shutil.copytree(files_house.stored("cloud") / ours.id, folder)
    (done,) = deliver([open_tier(settings, "local")], ours, folder, lambda *_: None)
    assert "holds recovery points of system 77, ours is 88" in done.error
    same = replace(ours, sources={"postgres": {"system_identifier": "77"}})
    (folder / FILE_NAME).write_bytes(same.to_bytes())
    (done,) = deliver([open_tier(settings, "local")], same, folder, lambda *_: None)
    assert done.error == ""


def test_an_increment_is_not_delivered_where_its_parent_is_missing(files_house: House) -> None:
    settings = files_house.settings
    full = put_point(settings, utc_now() - DAY, ("cloud",))
    child = put_point(settings, utc_now(), ("cloud",), kind="incremental", parent=full.id)
    folder = files_house.home / "delivered"
    shutil.copytree(files_house.stored("cloud") / child.id, folder)
    (done,) = deliver([open_tier(settings, "local")], child, folder, lambda *_: None)
    assert f"builds on {full.id}, which is not there" in done.error
    assert list_recovery_points(settings).points[0].tiers == ("cloud",)
    assert sync(settings, "local", files_house.evidence).verdict == Verdict.PASS
    assert list_recovery_points(settings).points[0].tiers == ("local", "cloud")
    assert json.loads((files_house.stored("local") / child.id / FILE_NAME).read_text())["parent"]
