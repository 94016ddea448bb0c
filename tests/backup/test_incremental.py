"""Incremental base backups on real servers: when one is made, and that the chain restores."""

import shutil

import pytest
from loopback import free_port
from wal_house import WalHouse, archiving, recovered

from backup.backup import run_backup
from backup.catalogue import list_recovery_points
from backup.manifest import Manifest
from backup.recovery.point_in_time import restore_to
from backup.recovery.target import parse_target
from backup.wal.reach import broken_chains, list_reaches
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError
from storewatch.core.targets import Verdict


def backed_up(house: WalHouse) -> tuple[Manifest, list[str]]:
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.PASS, made.notes
    return list_recovery_points(house.settings).points[0].manifest, made.notes


def test_a_chain_restores_the_rows_of_its_end_and_of_moments_behind_it(
    wal_house: WalHouse,
) -> None:
    primary = wal_house.primary
    with archiving(wal_house):
        primary.mark(1)
        full, notes = backed_up(wal_house)
        assert "full: no earlier base backup is known on this host" in notes
        primary.mark(2)
        primary.execute("UPDATE orders SET body = 'y' WHERE id % 500 = 0")
        second, _notes = backed_up(wal_house)
        primary.mark(3)
        third, _notes = backed_up(wal_house)
        primary.mark(4)
        wal_house.archived_until_now()
    assert [one.kind for one in (full, second, third)] == ["full", "incremental", "incremental"]
    assert (second.parent, third.parent) == (full.id, second.id)
    assert third.plain_bytes < full.plain_bytes / 3
    found = {}
    for point, to in ((third.id, None), (second.id, "latest")):
        port, folder = free_port(), wal_house.home / f"restored-{point}"
        target = parse_target(to) if to else None
        restore_to(wal_house.settings, "local", folder, target, point, port)
        assert not (folder / ".chain").exists()
        with recovered(wal_house, folder, port) as server:
            changed = server.execute("SELECT count(*) FROM orders WHERE body = 'y'")
            found[point] = (server.marks(), changed)
    assert found == {third.id: ([1, 2, 3], 4), second.id: ([1, 2, 3, 4], 4)}
    shutil.rmtree(wal_house.home / "local" / "shop" / second.id)
    with pytest.raises(BackupError, match=rf"{third.id}: chain unusable.*{second.id}"):
        restore_to(wal_house.settings, "local", wal_house.home / "x", None, third.id)
    assert not (wal_house.home / "x").exists()


def test_what_makes_the_next_backup_a_full_one_is_said(wal_house: WalHouse) -> None:
    first, _notes = backed_up(wal_house)
    reasons = []
    parents = wal_house.home / "spool" / "parents"
    (parents / f"{first.id}.manifest").unlink()
    second, notes = backed_up(wal_house)
    reasons.append(notes[1])
    (wal_house.home / "local" / "shop" / second.id / "manifest.json").unlink()
    third, notes = backed_up(wal_house)
    reasons.append(notes[1])
    wal_house.raw["sources"]["postgres"]["full_every"] = "1ms"
    _fourth, notes = backed_up(wal_house)
    reasons.append(notes[1])
    wal_house.raw["sources"]["postgres"]["full_every"] = "1d"
    wal_house.primary.execute("ALTER SYSTEM SET summarize_wal = off")
    wal_house.primary.stop()
    wal_house.primary.settings["summarize_wal"] = "off"
    wal_house.primary.start()
    _fifth, notes = backed_up(wal_house)
    reasons.append(notes[1])
    assert third.kind == "full"
    assert reasons[0] == f"full: the backup_manifest of {first.id} is missing in the spool"
    assert reasons[1].startswith(f"full: tier local: shop/{second.id}/manifest.json is missing")
    assert reasons[2:] == [
        "full: the last full one is older than full_every",
        "full: summarize_wal is off",
    ]


def test_the_list_says_to_which_moment_and_which_chain_is_broken(wal_house: WalHouse) -> None:
    with archiving(wal_house):
        first, _notes = backed_up(wal_house)
        second, _notes = backed_up(wal_house)
        wal_house.primary.mark(1)
        wal_house.archived_until_now()
    points = list_recovery_points(wal_house.settings).points
    reaches = list_reaches(wal_house.settings, points)
    last = wal_house.status().last_segment_at
    assert last is not None
    assert {rfc3339(reaches[one.id]["local"].until)[:19] for one in (first, second)} == {last[:19]}
    assert broken_chains(points) == {}
    assert broken_chains(points[:1]) == {
        second.id: f"chain unusable in local: {first.id} is missing"
    }
