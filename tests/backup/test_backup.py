"""What a backup run does and leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from backup_engines import PASSWORD, accepts
from backup_house import House, names, runs_in
from backup_shop import Writer
from loopback import free_port

from backup.backup import run_backup
from backup.catalogue import list_recovery_points, verify
from backup.drill import run_drill
from storewatch.core.errors import BackupError, BusyError, UsageError
from storewatch.core.targets import Verdict


def test_a_backup_under_load_is_verified_in_three_tiers_and_restored_from_each(
    house: House,
) -> None:
    cache = house.shop.redis()
    cache.flushall()
    cache.mset({f"cart:{n}": n for n in range(50)})
    cache.set("session:1", "gone by the time of the drill", px=1)
    with Writer(house.shop) as writer:
        made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.PASS, made.notes
    assert made.value("tiers_verified") == 3
    assert made.value("bytes") > made.value("stored_bytes") > 0
    assert writer.orders > 0
    for tier in ("local", "off-site", "cloud"):
        drilled = run_drill(house.settings, tier, house.evidence)
        assert drilled.verdict == Verdict.PASS, drilled.notes
        assert drilled.subject == tier
        assert drilled.value("rows_verified") >= 20 + 500 + 500
        assert 0 < drilled.value("recovery_time_s") < 60
        assert 0 < drilled.value("recovery_point_s") < 60
        assert drilled.value("bytes") == made.value("bytes")
        assert names(house.home / "scratch") == ["lock"]
    assert runs_in(house.home / "spool") == []
    catalogue = list_recovery_points(house.settings)
    assert catalogue.problems == []
    assert [point.tiers for point in catalogue.points] == [("local", "off-site", "cloud")]


def test_a_tier_that_is_down_makes_the_backup_degraded_and_is_named(house: House) -> None:
    house.raw["tiers"][1]["endpoint_url"] = f"http://127.0.0.1:{free_port()}"
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.FAIL
    assert made.value("tiers_verified") == 2
    degraded = [note for note in made.notes if note.startswith("degraded")]
    assert len(degraded) == 1
    assert "tier off-site" in degraded[0]
    catalogue = list_recovery_points(house.settings)
    assert catalogue.points[0].tiers == ("local", "cloud")
    assert "tier off-site" in catalogue.problems[0]
    assert verify(house.settings, "cloud")[1] == []


def test_a_tier_with_wrong_credentials_is_named_without_showing_them(house: House) -> None:
    house.raw["tiers"][2]["secret_key"] = "wrong-secret-0815"
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.FAIL
    assert "tier cloud" in " ".join(made.notes)
    assert "SignatureDoesNotMatch" in " ".join(made.notes)
    assert "0815" not in json.dumps(made.to_json())


def test_a_database_that_is_down_is_a_failed_backup_with_evidence(house: House) -> None:
    house.raw["sources"]["postgres"]["url"] = (
        f"postgresql://storewatch_backup:hidden@127.0.0.1:{free_port()}/shop"
    )
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.FAIL
    assert made.notes[0].startswith("backup failed: postgres: ")
    assert "hidden" not in made.notes[0]
    assert list_recovery_points(house.settings).points == []
    assert house.evidence.list("backup")[0].id == made.id


def test_a_redis_that_refuses_the_password_is_a_failed_backup(house: House) -> None:
    del house.raw["sources"]["postgres"]
    house.raw["sources"]["redis"]["url"] = f"redis://:nope@127.0.0.1:{house.shop.redis_port}/0"
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.FAIL
    assert "redis: AUTH was answered with WRONGPASS" in made.notes[0]


def test_an_image_that_cannot_be_copied_is_named_and_makes_the_backup_partial(
    house: House,
) -> None:
    (house.shop.images / "dangling.svg").symlink_to("nowhere.svg")
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.FAIL
    assert made.value("not_copied") == 1
    assert "partial: files-images: dangling.svg: vanished" in made.notes
    assert made.value("tiers_verified") == 3
    drilled = run_drill(house.settings, "local", house.evidence)
    assert "partial backup: files-images: dangling.svg: vanished" in drilled.notes


def test_the_password_is_on_no_command_line_and_in_no_file_that_stays(house: House) -> None:
    seen: list[str] = []

    def look(label: str, done: int, total: int | None) -> None:
        if label == "seal postgres.tar" and not seen:
            for process in psutil.Process().children():
                seen.extend(process.cmdline())
                seen.extend(process.environ().values())
            passfile = next((house.home / "spool").rglob("pgpass"))
            assert passfile.stat().st_mode & 0o777 == 0o600

    made = run_backup(house.settings, house.evidence, look)
    assert made.verdict == Verdict.PASS, made.notes
    assert any("pg_basebackup" in word for word in seen)
    assert not any(PASSWORD in word for word in seen)
    files = [path for path in house.home.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in files)
    assert PASSWORD not in repr(house.settings)


def test_progress_comes_one_call_at_a_time_and_ends_at_the_total(house: House) -> None:
    inside, last = [], {}

    def report(label: str, done: int, total: int | None) -> None:
        assert not inside
        inside.append(label)
        last[label] = (done, total)
        inside.clear()

    made = run_backup(house.settings, house.evidence, report)
    assert made.verdict == Verdict.PASS, made.notes
    for tier in ("local", "off-site", "cloud"):
        done, total = last[f"verify {tier}: postgres.tar"]
        assert done == total > 0
    assert last["seal postgres.tar"][0] > 1_000_000


def test_two_backups_at_once_the_second_says_who_holds_the_first(house: House) -> None:
    refused = []

    def second(label: str, done: int, total: int | None) -> None:
        if not refused:
            with pytest.raises(BusyError) as caught:
                run_backup(house.settings, house.evidence)
            refused.append(str(caught.value))

    made = run_backup(house.settings, house.evidence, second)
    assert made.verdict == Verdict.PASS, made.notes
    assert f"a backup is already running: pid {os.getpid()}" in refused[0]
    assert len(list_recovery_points(house.settings).points) == 1


def test_a_spool_without_room_fails_and_keeps_the_copies_there_are(house: House) -> None:
    run_backup(house.settings, house.evidence)
    house.raw["minimum_free_bytes"] = 10**18
    with pytest.raises(BackupError, match="must stay free"):
        run_backup(house.settings, house.evidence)
    assert len(list_recovery_points(house.settings).points) == 1


def test_a_backup_without_recipients_is_refused_before_it_begins(house: House) -> None:
    (house.home / "recipients.txt").write_text("# nobody\n")
    with pytest.raises(UsageError, match="holds no recipient"):
        run_backup(house.settings, house.evidence)


_CHILD = """
import sys
from pathlib import Path
from backup.backup import run_backup
from backup.drill import run_drill
from backup.settings import BackupSettings
from storewatch.store.evidence import EvidenceStore

settings = BackupSettings.model_validate_json(sys.stdin.readline())
def progress(label, done, total):
    if label == sys.argv[2]:
        print(label, flush=True)
        sys.stdin.read()
if sys.argv[3] == "backup":
    run_backup(settings, EvidenceStore(Path(sys.argv[1])), progress)
else:
    run_drill(settings, "local", EvidenceStore(Path(sys.argv[1])), progress)
"""


def killed_at(house: House, label: str, what: str) -> None:
    """Run in a process of its own and kill it with SIGKILL when it reports the label."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(house.home), label, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps(house.raw, default=str).encode() + b"\n")
    child.stdin.flush()
    assert child.stdout.readline().decode().strip() == label
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()


@pytest.mark.parametrize(
    "label",
    [
        "seal postgres.tar",
        "seal files-images.tar",
        "to cloud: redis.rdb",
        "verify local: postgres.tar",
    ],
)
def test_a_killed_backup_leaves_nothing_that_counts(house: House, label: str) -> None:
    house.raw["tiers"].pop(1)
    killed_at(house, label, "backup")
    assert runs_in(house.home / "spool")
    assert list_recovery_points(house.settings).points == []
    assert house.evidence.list("backup") == []
    made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.PASS, made.notes
    assert runs_in(house.home / "spool") == []
    assert len(list_recovery_points(house.settings).points) == 1


def test_the_server_of_a_killed_drill_ends_and_the_next_drill_clears_up(house: House) -> None:
    del house.raw["tiers"][1:]
    run_backup(house.settings, house.evidence)
    killed_at(house, "check rows and references", "drill")
    port = house.settings.drill.port
    assert len(names(house.home / "scratch")) > 1
    deadline, tick = time.monotonic() + 20, threading.Event()
    while accepts(port) and time.monotonic() < deadline:
        tick.wait(0.05)
    assert not accepts(port)
    drilled = run_drill(house.settings, "local", house.evidence)
    assert drilled.verdict == Verdict.PASS, drilled.notes
    assert names(house.home / "scratch") == ["lock"]
    assert not accepts(port)


_MEASURE = """
def peak():  # ru_maxrss would count the memory of whoever started us
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

import sys
from pathlib import Path
from backup.backup import run_backup
from backup.recovery.point_in_time import restore_to
from backup.settings import BackupSettings
from storewatch.store.evidence import EvidenceStore

home = Path(sys.argv[1])
settings = BackupSettings.model_validate_json(sys.stdin.readline())
assert run_backup(settings, EvidenceStore(home)).verdict == "PASS"
restore_to(settings, "cloud", home / "restored")
print(peak())
"""


def peak_bytes(house: House, megabytes: int) -> int:
    """Return the peak memory of a process that backs up and restores a folder of that size."""
    with (house.shop.images / "large.bin").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
    house.raw["sources"] = {"files": house.raw["sources"]["files"]}
    house.raw["tiers"] = [tier for tier in house.raw["tiers"] if tier["name"] == "cloud"]
    house.raw["drill"] |= {"tier": "cloud"}
    child = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(house.home)],
        input=json.dumps(house.raw, default=str).encode(),
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    shutil.rmtree(house.home / "restored")
    return int(child.stdout)


def test_peak_memory_does_not_grow_with_the_size_of_the_source(house: House) -> None:
    small, large = peak_bytes(house, 1), peak_bytes(house, 200)
    assert large - small < 80 << 20
    assert large < 250 << 20
