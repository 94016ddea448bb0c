"""A prune deletes the WAL that no base backup that stays needs, and no other."""

import json
import os
from datetime import datetime

from aged_points import DAY, MEBIBYTE, points_of, put_point, with_lsn
from backup_house import House, names

from backup.prune import prune
from backup.wal.names import WalFile
from storewatch.core.clock import utc_now
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict


def run(house: House) -> Evidence:
    return prune(house.settings, "local", house.evidence)


def wal_file(house: House, number: int, at: datetime, name: str = "") -> str:
    file = WalFile.make(name or f"00000001{0:08X}{number:08X}", at, os.urandom(32).hex())
    path = house.stored("local").parent / file.key(house.settings.subject, "77")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"sealed")
    return file.name


def test_wal_before_the_oldest_base_that_stays_goes(old_house: House) -> None:
    now = utc_now()
    for age, number in ((5, 10), (2, 20), (1, 30)):
        put_point(old_house.settings, now - age * DAY, sources=with_lsn(number))
    for number in (9, 10, 19, 20, 21, 31):
        wal_file(old_house, number, now)
    wal_file(old_house, 0, now, "00000002.history")
    folder = old_house.stored("local") / "wal" / "77"
    assert run(old_house).value("wal_deleted") == 0  # no segment size, nothing is judged
    (folder / "wal.json").write_text(json.dumps({"wal_segment_bytes": MEBIBYTE}))
    points_of(old_house)
    done = run(old_house)
    assert done.verdict == Verdict.PASS, done.notes
    assert done.value("wal_deleted") == 3
    left = sorted(path.name[:24] for path in (folder / "00000001").iterdir())
    assert [int(name[16:], 16) for name in left] == [20, 21, 31]
    assert names(folder / "00000002")


def test_wal_stays_for_the_time_that_shall_be_restorable_to_any_moment(old_house: House) -> None:
    now = utc_now()
    old_house.raw["tiers"][0]["retention"] |= {"last": 3, "point_in_time": "36h"}
    for age, number in ((5, 10), (2, 20), (1, 30)):
        put_point(old_house.settings, now - age * DAY, sources=with_lsn(number))
    for number in (9, 10, 19, 20, 31):
        wal_file(old_house, number, now)
    folder = old_house.stored("local") / "wal" / "77"
    (folder / "wal.json").write_text(json.dumps({"wal_segment_bytes": MEBIBYTE}))
    assert run(old_house).value("wal_deleted") == 3


def test_wal_of_another_system_is_named_and_left_alone(old_house: House) -> None:
    now = utc_now()
    for age in (3, 2, 1):
        other = {"postgres": {"system_identifier": "88", "start_lsn": "0/5000028"}}
        put_point(old_house.settings, now - age * DAY, sources=other)
    wal_file(old_house, 1, now - 9 * DAY)
    done = run(old_house)
    assert done.value("wal_deleted") == 0
    assert "WAL of system 77 has no base backup" in " ".join(done.notes)
