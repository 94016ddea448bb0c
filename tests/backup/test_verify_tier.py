"""A part of a tier is read back each day; in a month, all of it; what is wrong has a name."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aged_points import put_point, store, with_lsn
from backup_damage import flip
from backup_house import House, kill_once_it_says

from backup.backup import run_backup
from backup.catalogue import tier_settings
from backup.keys import load_recipients
from backup.seal import sealing
from backup.verified import Verified
from backup.verify import Item, share, verify_tier
from backup.wal.names import FACTS, WalFile, prefix
from storewatch.core.clock import utc_now
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

DAY = timedelta(days=1)
DAY_S = DAY.total_seconds()


def run(house: House, tier: str = "local", at: datetime | None = None) -> Evidence:
    now = at or utc_now()
    return verify_tier(house.settings, tier, house.evidence, clock=lambda: now)


def test_a_day_reads_its_share_the_oldest_first() -> None:
    now = utc_now()
    items = [Item(f"k{n}", 100, "", now - n * DAY / 10) for n in range(90)]
    chosen = share(items, now, DAY_S, 30 * DAY_S)
    assert [item.key for item in chosen] == ["k89", "k88", "k87", "k86"]


def test_what_is_nearly_due_is_read_whatever_the_share() -> None:
    now = utc_now()
    items = [Item(f"k{n}", 100, "", now - 29 * DAY) for n in range(90)]
    assert len(share(items, now, DAY_S, 30 * DAY_S)) == 90


@pytest.mark.parametrize("seed", range(3))
def test_every_byte_is_read_at_least_once_a_month(seed: int) -> None:
    """Replay half a year of days with new and old objects of very different sizes."""
    import random

    chance = random.Random(seed)
    begin = utc_now()
    items = {f"k{n}": Item(f"k{n}", chance.choice((1, 500, 90_000)), "", begin) for n in range(40)}
    worst = timedelta()
    for day in range(180):
        now = begin + day * DAY
        items[f"n{day}"] = Item(f"n{day}", chance.choice((1, 500, 90_000)), "", now)
        if chance.random() < 0.1:
            continue  # the scheduler was down
        for item in share(list(items.values()), now, DAY_S, 30 * DAY_S):
            items[item.key] = Item(item.key, item.size_bytes, "", now)
        worst = max(worst, max(now - item.last for item in items.values()))
    assert worst < 30 * DAY


@pytest.mark.parametrize("tier", ["local", "cloud"])
def test_progress_is_kept_and_grows_until_everything_was_read(
    files_house: House, tier: str
) -> None:
    now = utc_now()
    for age in range(40, 0, -4):
        put_point(files_house.settings, now - age * DAY, (tier,))
    first = run(files_house, tier, now)
    assert (first.kind, first.subject, first.verdict) == ("verify", tier, Verdict.PASS)
    assert first.value("objects_verified") == 6  # those that were due: 40, 36 and 32 days old
    assert first.value("bytes_due") == 0
    assert first.value("oldest_unverified_s") == pytest.approx(28 * DAY_S, abs=60)
    assert first.value("bytes_held") == 15_000
    second = run(files_house, tier, now + DAY)
    assert second.value("objects_verified") == 2
    assert len(Verified(files_house.home / "spool", tier).load()) == 8


def test_lost_progress_is_rebuilt_from_the_evidence(files_house: House) -> None:
    for age in (40, 39, 1):
        put_point(files_house.settings, utc_now() - age * DAY)
    run(files_house)
    state = files_house.home / "spool" / "state" / "verified-local.jsonl"
    before = Verified(files_house.home / "spool", "local").load()
    state.unlink()
    again = run(files_house)
    assert again.value("oldest_unverified_s") < DAY_S + 60
    after = Verified(files_house.home / "spool", "local").load()
    assert before.keys() <= after.keys()
    with state.open("a") as file:
        file.write('{"key": "cut by a cra')
    assert run(files_house).verdict == Verdict.PASS


_CHILD = """
import itertools, sys
from pathlib import Path
from backup.settings import BackupSettings
from backup.verify import verify_tier
from storewatch.store.evidence import EvidenceStore

settings = BackupSettings.model_validate_json(sys.stdin.readline())
calls = itertools.count(1)
def progress(label, done, total):
    if next(calls) == 4:
        print("four", flush=True)
        sys.stdin.read()
verify_tier(settings, "local", EvidenceStore(Path(sys.argv[1])), progress)
"""


def test_a_killed_verification_goes_on_where_it_was(files_house: House) -> None:
    for age in (50, 49, 48):
        put_point(files_house.settings, utc_now() - age * DAY)
    kill_once_it_says("four", _CHILD, files_house)
    assert run(files_house).value("objects_verified") == 3


def test_a_fresh_backup_counts_as_read(files_house: House) -> None:
    assert run_backup(files_house.settings, files_house.evidence).verdict == Verdict.PASS
    done = run(files_house)
    assert done.verdict == Verdict.PASS
    assert done.value("oldest_unverified_s") < 60


def flipped(path: Path) -> None:
    flip(path)


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replaced(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


DAMAGE: dict[str, tuple[Any, str]] = {
    "bit flip": (flipped, "a.tar.zst.age is damaged"),
    "truncation": (shortened, "a.tar.zst.age is damaged"),
    "same length": (replaced, "a.tar.zst.age is damaged"),
    "missing": (Path.unlink, "a.tar.zst.age is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_again_and_again(files_house: House, damage: str) -> None:
    made = put_point(files_house.settings, utc_now() - 40 * DAY)
    spoil, said = DAMAGE[damage]
    spoil(files_house.stored("local") / made.id / "a.tar.zst.age")
    for _ in range(2):
        done = run(files_house)
        assert done.verdict == Verdict.FAIL
        assert done.value("damaged") == 1
        assert said in " ".join(done.notes)


def test_what_belongs_to_nothing_is_named(files_house: House) -> None:
    made = put_point(files_house.settings, utc_now() - DAY)
    stored = files_house.stored("local")
    (stored / made.id / "intruder").write_text("x")
    (stored / "notes.txt").write_text("x")
    done = run(files_house)
    assert done.verdict == Verdict.FAIL
    assert done.value("foreign") == 2
    assert "intruder is nothing of ours" in " ".join(done.notes)


def test_a_tier_that_is_down_is_a_failed_verification(files_house: House) -> None:
    files_house.raw["tiers"][1]["endpoint_url"] = "http://127.0.0.1:1"
    done = run(files_house, "off-site")
    assert done.verdict == Verdict.FAIL
    assert "tier off-site" in done.notes[0]


def wal(house: House, *numbers: int) -> list[str]:
    """Seal WAL segments as the archiver does; return their keys in all tiers."""
    import hashlib

    settings, keys = house.settings, []
    for number in numbers:
        plain = bytes([number]) * 3000
        name = f"00000001{0:08X}{number:08X}"
        file = WalFile.make(name, utc_now() - 40 * DAY, hashlib.sha256(plain).hexdigest())
        sealed = house.home / name
        with sealing(sealed, load_recipients(settings), 1) as sink:
            sink.write(plain)
        keys.append(file.key(settings.subject, "77"))
        for tier in ("local", "cloud"):
            store(settings, tier_settings(settings, tier), keys[-1], sealed.read_bytes())
    for tier in ("local", "cloud"):
        facts = prefix(settings.subject, "77") + FACTS
        content = json.dumps({"wal_segment_bytes": 1 << 20}).encode()
        store(settings, tier_settings(settings, tier), facts, content)
    return keys


@pytest.fixture
def wal_house(files_house: House) -> House:
    put_point(files_house.settings, utc_now() - 41 * DAY, ("local", "cloud"), sources=with_lsn(20))
    return files_house


def test_wal_is_read_too_and_a_gap_is_named(wal_house: House) -> None:
    wal(wal_house, 20, 21, 23)
    done = run(wal_house)
    assert done.value("objects_verified") == 5
    assert done.value("damaged") == 1
    assert (
        "WAL of system 77 is missing between 000000010000000000000015 and "
        "000000010000000000000017" in " ".join(done.notes)
    )


def test_damaged_wal_is_found_by_who_can_open_it(wal_house: House) -> None:
    key = wal(wal_house, 20)[0]
    flip(wal_house.stored("local").parent / key)
    done = run(wal_house)
    assert done.value("damaged") == 1
    assert f"{key} is damaged: age" in " ".join(done.notes)
    other = wal_house.stored("local").parent / key
    sealed = wal_house.home / "other"
    with sealing(sealed, load_recipients(wal_house.settings), 1) as sink:
        sink.write(b"another segment")
    other.write_bytes(sealed.read_bytes())
    assert "plain bytes are not those of its name" in " ".join(run(wal_house).notes)


def test_damaged_wal_is_found_without_an_identity_too(wal_house: House) -> None:
    (wal_house.home / "identity.txt").rename(wal_house.home / "at-the-drill-host")
    key = wal(wal_house, 20)[0]
    assert run(wal_house, "cloud").verdict == Verdict.PASS
    flip(wal_house.stored("local").parent / key)
    done = run(wal_house)
    assert f"{key} is damaged here or in tier cloud" in " ".join(done.notes)
    flip(wal_house.stored("local").parent / key)
    assert run(wal_house).verdict == Verdict.PASS
    flip(wal_house.stored("local").parent / key)
    assert "it changed since" in " ".join(run(wal_house, at=utc_now() + 31 * DAY).notes)
