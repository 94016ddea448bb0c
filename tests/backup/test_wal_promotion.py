"""The archive and a restore follow a promotion, on real servers."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cluster import Server, url
from loopback import free_port
from wal_house import WalHouse, archiving, eventually, recovered

from backup.backup import run_backup
from backup.recovery.point_in_time import restore_to
from backup.recovery.target import parse_target
from storewatch.core.errors import BackupError
from storewatch.core.targets import Verdict


@contextmanager
def with_standby(house: WalHouse) -> Iterator[Server]:
    """Run a standby; the URL of the backups names both nodes."""
    standby = house.primary.standby("b")
    house.raw["sources"]["postgres"]["url"] = url(house.primary, standby)
    with standby.running():
        yield standby


def backed_up(house: WalHouse) -> None:
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.PASS, made.notes


def marks_at(house: WalHouse, target: str, name: str) -> list[int]:
    port, folder = free_port(), house.home / name
    restore_to(house.settings, "local", folder, parse_target(target), port=port)
    with recovered(house, folder, port) as server:
        return server.marks()


def failed_over(house: WalHouse, standby: Server, last: int) -> None:
    """End the primary when the standby has a mark, and promote it."""
    eventually(lambda: last in standby.marks())
    house.primary.stop()
    standby.promote()
    house.primary = standby


def test_a_restore_reaches_moments_before_and_after_a_promotion(wal_house: WalHouse) -> None:
    with with_standby(wal_house) as standby, archiving(wal_house):
        backed_up(wal_house)
        wal_house.primary.mark(1)
        before = wal_house.primary.execute("SELECT clock_timestamp()")
        wal_house.primary.mark(2)
        failed_over(wal_house, standby, 2)
        standby.mark(3)
        between = standby.execute("SELECT clock_timestamp()")
        standby.mark(4)
        wal_house.archived_until_now()
        status = wal_house.status()
        assert (status.timeline, status.gaps) == (2, [])
        assert len(list(wal_house.archived.glob("00000002/00000002.history-*"))) == 1
        assert marks_at(wal_house, before.isoformat(), "x") == [1]
        assert marks_at(wal_house, between.isoformat(), "y") == [1, 2, 3]
        assert marks_at(wal_house, "latest", "z") == [1, 2, 3, 4]
    history = next(wal_house.archived.glob("00000002/00000002.history-*"))
    history.unlink()
    with pytest.raises(BackupError, match=r"00000002\.history is missing"):
        restore_to(wal_house.settings, "local", wal_house.home / "w", parse_target("latest"))


def test_commits_that_the_new_primary_never_had_are_left_on_the_old_timeline(
    wal_house: WalHouse,
) -> None:
    with with_standby(wal_house) as standby, archiving(wal_house):
        backed_up(wal_house)
        wal_house.primary.mark(1)
        eventually(lambda: 1 in standby.marks())
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        standby.execute("SELECT pg_reload_conf()")
        eventually(lambda: not standby.execute("SELECT count(*) FROM pg_stat_wal_receiver"))
        for number in (2, 3):  # two segments that the standby never gets
            wal_house.primary.mark(number)
            wal_house.archived_until_now()
        wal_house.primary.stop()
        standby.promote()
        wal_house.primary = standby
        standby.mark(4)
        wal_house.archived_until_now()
        assert wal_house.status().gaps == []
    assert marks_at(wal_house, "latest", "z") == [1, 4]


def test_wal_that_the_new_primary_no_longer_has_is_a_gap_that_asks_for_a_base_backup(
    wal_house: WalHouse,
) -> None:
    with with_standby(wal_house) as standby:
        with archiving(wal_house):
            backed_up(wal_house)
            wal_house.primary.mark(1)
            wal_house.archived_until_now()
            assert not wal_house.status().base_backup_needed
        standby.execute("ALTER SYSTEM SET wal_keep_size = 0")
        failed_over(wal_house, standby, 1)
        standby.stop()
        standby.settings["wal_keep_size"] = "0"
        standby.start()
        for number in range(2, 9):
            standby.mark(number)
            standby.execute("SELECT pg_switch_wal()")
        standby.execute("CHECKPOINT")
        standby.execute("CHECKPOINT")
        with archiving(wal_house):
            standby.mark(9)
            wal_house.archived_until_now()
            status = wal_house.status()
            assert len(status.gaps) == 1
            assert status.base_backup_needed
            with pytest.raises(BackupError, match=r"is missing, but there are later ones; .* to "):
                restore_to(wal_house.settings, "local", wal_house.home / "x",
                           parse_target("latest"))  # fmt: skip
            backed_up(wal_house)
            standby.mark(10)
            wal_house.archived_until_now()
            assert not wal_house.status().base_backup_needed
        assert marks_at(wal_house, "latest", "y") == list(range(1, 11))


def test_the_backup_after_a_promotion_is_a_full_one(wal_house: WalHouse) -> None:
    with with_standby(wal_house) as standby:
        backed_up(wal_house)
        wal_house.primary.mark(1)
        failed_over(wal_house, standby, 1)
        made = run_backup(wal_house.settings, wal_house.evidence)
    assert made.verdict == Verdict.PASS, made.notes
    assert "the timeline changed since" in made.notes[1]
    assert "(a promotion)" in made.notes[1]
