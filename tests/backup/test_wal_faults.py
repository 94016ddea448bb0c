"""What goes wrong while WAL is archived: nothing is lost, nothing is written over, all is said."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from backup_engines import S3Server
from loopback import free_port
from wal_house import WalHouse, archiving, eventually, recovered

from backup.backup import run_backup
from backup.errors import DamagedError
from backup.recovery.point_in_time import restore_to
from backup.recovery.target import parse_target
from backup.wal.archiver import run_archiver
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import BackupError, BusyError, UsageError
from storewatch.core.targets import Verdict

_CHILD = """
import sys, threading
from backup.settings import BackupSettings
from backup.wal.archiver import run_archiver
run_archiver(BackupSettings.model_validate_json(sys.stdin.read()), threading.Event())
"""


def archiver_process(house: WalHouse) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(house.raw, default=str).encode())
    child.stdin.close()
    return child


def test_killed_at_random_moments_the_archiver_loses_nothing(wal_house: WalHouse) -> None:
    chance, tick, mark = random.Random(4), threading.Event(), 0
    wal_house.raw["wal"]["interval"] = "100ms"
    with archiving(wal_house):
        assert run_backup(wal_house.settings, wal_house.evidence).verdict == Verdict.PASS
    for _ in range(5):
        begun = rfc3339(utc_now())
        child = archiver_process(wal_house)
        until = None
        while until is None or time.monotonic() < until:
            mark += 1
            wal_house.primary.mark(mark)
            tick.wait(0.02)
            status = wal_house.status()
            if until is None and status.state == "receiving" and status.written_at > begun:
                until = time.monotonic() + 1.5 * chance.random()
        child.send_signal(signal.SIGKILL)
        child.wait()
    with archiving(wal_house):
        wal_house.archived_until_now()
        status = wal_house.status()
    assert (status.gaps, status.tiers["local"].error) == ([], "")
    names = wal_house.segments()
    assert len(names) == len(set(names)) > 3
    port, folder = free_port(), wal_house.home / "restored"
    restore_to(wal_house.settings, "local", folder, parse_target("latest"), port=port)
    with recovered(wal_house, folder, port) as server:
        assert server.marks() == list(range(1, mark + 1))


def test_a_tier_that_is_down_is_degraded_and_caught_up_later(
    wal_house: WalHouse, object_stores: tuple[S3Server, S3Server]
) -> None:
    store = object_stores[0]
    prefix = wal_house.home.name.replace("_", "-")
    wal_house.raw["tiers"].append(store.tier("off-site") | {"prefix": prefix})
    store.stop()
    try:
        with archiving(wal_house):
            wal_house.primary.mark(1)
            eventually(lambda: wal_house.status().tiers["local"].lag_s == 0, wal_house.status)
            away = wal_house.status().tiers["off-site"]
            assert away.degraded
            assert "tier off-site" in away.error
            assert away.pending_files > 0
    finally:
        store.start()
    with archiving(wal_house):
        wal_house.archived_until_now()
        back = wal_house.status().tiers["off-site"]
    assert (back.degraded, back.error, back.pending_files) == (False, "", 0)
    there = store.folder / "storewatch-backup" / prefix / "shop" / "wal"
    assert sorted(path.name[:24] for path in there.rglob("*.age")) == wal_house.segments()


def test_the_wal_of_another_database_is_refused(wal_house: WalHouse) -> None:
    folder = wal_house.home / "local" / "shop" / "wal" / "7000000000000000001"
    folder.mkdir(parents=True)
    (folder / "wal.json").write_text("{}")
    with pytest.raises(UsageError, match="holds WAL of system 7000000000000000001, ours is"):
        run_archiver(wal_house.settings, threading.Event())
    assert "7000000000000000001" in wal_house.status().errors[0]


def test_a_segment_of_the_same_name_with_other_bytes_is_never_written_over(
    wal_house: WalHouse,
) -> None:
    with archiving(wal_house):
        wal_house.primary.mark(1)
        wal_house.archived_until_now()
    last = wal_house.status().last_segment
    following = f"{int(last, 16) + 1:024X}"
    name = f"{following}-20260101T000000Z-{'0' * 16}.zst.age"
    (wal_house.archived / "00000001" / name).write_bytes(b"somebody else's")
    with archiving(wal_house):
        wal_house.primary.mark(2)
        eventually(lambda: wal_house.status().tiers["local"].refused, wal_house.status)
        tier = wal_house.status().tiers["local"]
    assert tier.degraded
    assert f"holds {following}" in tier.error
    assert (wal_house.archived / "00000001" / name).read_bytes() == b"somebody else's"


def test_a_role_that_may_not_end_segments_is_told_the_grant(wal_house: WalHouse) -> None:
    wal_house.primary.execute("REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM storewatch_backup")
    with archiving(wal_house):
        wal_house.primary.mark(1)
        eventually(lambda: "GRANT EXECUTE" in " ".join(wal_house.status().errors))


def test_a_spool_without_room_leaves_the_wal_on_the_primary(wal_house: WalHouse) -> None:
    wal_house.raw["minimum_free_bytes"] = 10**18
    with archiving(wal_house):
        wal_house.primary.mark(1)
        eventually(lambda: wal_house.status().state == "full")
        assert "must stay free" in wal_house.status().errors[-1]
    wal_house.raw["minimum_free_bytes"] = 1_000_000
    with archiving(wal_house):
        wal_house.archived_until_now()
        assert wal_house.status().gaps == []


def test_a_second_archiver_on_the_same_spool_is_refused(wal_house: WalHouse) -> None:
    with archiving(wal_house), pytest.raises(BusyError, match="a WAL archiver is already running"):
        eventually(lambda: wal_house.status().state == "receiving")
        run_archiver(wal_house.settings, threading.Event())


def test_a_missing_or_altered_segment_is_named_and_nothing_is_left(wal_house: WalHouse) -> None:
    with archiving(wal_house):
        assert run_backup(wal_house.settings, wal_house.evidence).verdict == Verdict.PASS
        for number in range(1, 4):
            wal_house.primary.mark(number)
            wal_house.archived_until_now()
    files = sorted(wal_house.archived.glob("00000001/*.age"))
    target, latest = wal_house.home / "x", parse_target("latest")
    content = files[-1].read_bytes()
    files[-1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BackupError, match=files[-1].name[:24]):
        restore_to(wal_house.settings, "local", target, latest)
    files[-1].write_bytes(content)
    swapped = files[-2].read_bytes()
    files[-2].write_bytes(content)
    with pytest.raises(DamagedError, match=rf"{files[-2].name[:24]}.*is damaged"):
        restore_to(wal_house.settings, "local", target, latest)
    files[-2].write_bytes(swapped)
    files[-2].unlink()
    wanted = rf"{files[-2].name[:24]} is missing, but there are later ones"
    with pytest.raises(BackupError, match=wanted):
        restore_to(wal_house.settings, "local", target, latest)
    assert not target.exists()
