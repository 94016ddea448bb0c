"""Restores to a moment show exactly the rows of that moment, on real servers."""

import pytest
from cluster import Server
from loopback import free_port
from wal_house import WalHouse, archiving, eventually, recovered

from backup.backup import run_backup
from backup.recovery.point_in_time import restore_to
from backup.recovery.target import parse_target
from backup.restore import UNFINISHED
from storewatch.core.errors import UsageError
from storewatch.core.targets import Verdict


def backed_up(house: WalHouse) -> None:
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.PASS, made.notes


def wal_file(server: Server, position: str) -> str:
    """Return the segment that holds a position."""
    return str(server.execute(f"SELECT pg_walfile_name('{position}')"))


def marks_at(house: WalHouse, target: str, name: str) -> list[int]:
    """Restore, start, and return the marks that are there."""
    port, folder = free_port(), house.home / name
    restore_to(house.settings, "local", folder, parse_target(target), port=port)
    with recovered(house, folder, port) as server:
        return server.marks()


def test_every_kind_of_target_shows_the_rows_of_its_moment(wal_house: WalHouse) -> None:
    primary = wal_house.primary
    with archiving(wal_house):
        primary.mark(1)
        early = primary.execute("SELECT clock_timestamp()")
        backed_up(wal_house)
        primary.mark(2)
        moment = primary.execute("SELECT clock_timestamp()")
        primary.mark(3)
        position = primary.execute("SELECT pg_current_wal_lsn()")
        primary.mark(4)
        with primary.connect() as one:
            one.execute("BEGIN")
            one.execute("INSERT INTO marks (n) VALUES (5)")
            transaction = one.execute("SELECT pg_current_xact_id()").fetchone()
            one.execute("COMMIT")
        assert transaction is not None
        primary.mark(6)
        primary.execute("SELECT pg_create_restore_point('before-upgrade')")
        primary.mark(7)
        # WAL without a commit: the last archived moment has no transaction behind it.
        primary.execute("SELECT pg_sleep(1), pg_logical_emit_message(false, '', repeat('x', 8192))")
        position_of_it = primary.execute("SELECT pg_current_wal_lsn()::text")
        wal_house.archived_until_now()
        eventually(lambda: wal_house.status().tiers["local"].last_segment >= wal_file(primary,
                   position_of_it), wal_house.status)  # fmt: skip
        until = wal_house.status().tiers["local"].last_segment_at
        assert until is not None
        quiet = primary.execute("SELECT clock_timestamp() - interval '20 milliseconds'")
    wanted = {
        moment.isoformat(): [1, 2],
        f"LSN:{position}": [1, 2, 3],
        f"XID:{transaction[0]}": [1, 2, 3, 4, 5],
        "NAME:before-upgrade": [1, 2, 3, 4, 5, 6],
        "latest": [1, 2, 3, 4, 5, 6, 7],
        until: [1, 2, 3, 4, 5, 6, 7],
    }
    found = {
        target: marks_at(wal_house, target, f"restored-{number}")
        for number, target in enumerate(wanted)
    }
    assert found == wanted
    for outside in (early.isoformat(), "LSN:0/1", "LSN:FF/0", "2999-01-01T00:00:00Z", "NAME:no",
                    "XID:4000000", quiet.isoformat()):  # fmt: skip
        with pytest.raises(UsageError, match=r" to .* can be restored"):
            restore_to(wal_house.settings, "local", wal_house.home / "x", parse_target(outside))
        assert not (wal_house.home / "x").exists()


def test_a_restore_under_way_is_marked_as_not_finished(wal_house: WalHouse) -> None:
    backed_up(wal_house)
    folder, seen = wal_house.home / "x", []

    def look(label: str, _done: int, _total: int | None) -> None:
        if label.startswith("restore"):
            seen.append((folder / UNFINISHED).exists())

    restore_to(wal_house.settings, "local", folder, progress=look)
    assert seen
    assert all(seen)
    assert sorted(path.name for path in folder.iterdir()) == ["postgres"]


def test_a_restore_that_breaks_off_leaves_the_folder_empty(wal_house: WalHouse) -> None:
    backed_up(wal_house)
    folder = wal_house.home / "x"
    folder.mkdir()

    def break_off(_label: str, _done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_to(wal_house.settings, "local", folder, progress=break_off)
    assert list(folder.iterdir()) == []


def test_production_s_own_data_folder_is_no_target(wal_house: WalHouse) -> None:
    backed_up(wal_house)
    wal_house.primary.data.rename(wal_house.home / "away")
    try:
        with pytest.raises(UsageError, match="touches production's"):
            restore_to(wal_house.settings, "local", wal_house.primary.data)
    finally:
        (wal_house.home / "away").rename(wal_house.primary.data)
