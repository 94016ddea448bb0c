"""One contract for every kind of tier."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_engines import S3Server
from loopback import free_port

from backup.errors import ExistsError, MissingObjectError, TierError
from backup.tiers.folder import FolderTier
from backup.tiers.s3 import S3Tier
from backup.tiers.settings import FolderTierSettings, S3TierSettings
from backup.tiers.tier import Tier
from storewatch.core.clock import utc_now

LARGE = os.urandom(20_000_000)  # two parts of a multipart upload


def s3_tier(store: S3Server, prefix: str, **changed: object) -> S3Tier:
    return S3Tier(S3TierSettings.model_validate(store.tier("x") | {"prefix": prefix} | changed))


@pytest.fixture(params=["folder", "s3"])
def tier(
    request: pytest.FixtureRequest, tmp_path: Path, object_stores: tuple[S3Server, S3Server]
) -> Tier:
    if request.param == "folder":
        return FolderTier(FolderTierSettings(name="x", kind="folder", path=tmp_path / "tier"))
    store = object_stores[0]
    pruning = {"prune_access_key": store.prune_key, "prune_secret_key": store.secret_key}
    return s3_tier(store, tmp_path.name.replace("_", "-"), **pruning)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    yield path
    path.unlink()


def ignore(_done: int) -> None:
    pass


def test_what_is_put_is_read_again_in_small_pieces(tier: Tier, file: Path) -> None:
    seen: list[int] = []
    tier.put("shop/1/object", file, seen.append)
    pieces = list(tier.read("shop/1/object"))
    assert b"".join(pieces) == LARGE
    assert max(map(len, pieces)) <= 1 << 20
    assert max(seen) == len(LARGE)


def test_the_same_bytes_again_are_fine_and_others_are_refused(tier: Tier, file: Path) -> None:
    tier.put("shop/1/object", file, ignore)
    tier.put("shop/1/object", file, ignore)
    file.unlink()
    file.write_bytes(LARGE[:-1] + b"?")
    with pytest.raises(ExistsError, match=r"tier x.*shop/1/object exists with other bytes"):
        tier.put("shop/1/object", file, ignore)
    assert b"".join(tier.read("shop/1/object")) == LARGE


def test_a_note_is_written_over(tier: Tier) -> None:
    tier.mark("shop/1/pin.json", b"one")
    tier.mark("shop/1/pin.json", b"two")
    assert b"".join(tier.read("shop/1/pin.json")) == b"two"


def test_a_part_of_an_object_is_read_alone(tier: Tier, file: Path) -> None:
    tier.put("shop/1/object", file, ignore)
    assert b"".join(tier.read("shop/1/object", 10, 20)) == LARGE[10:30]
    assert b"".join(tier.read("shop/1/object", len(LARGE) - 3)) == LARGE[-3:]


def test_entries_tell_size_and_the_tiers_own_time(tier: Tier, file: Path) -> None:
    tier.put("shop/1/object", file, ignore)
    (entry,) = tier.entries("shop/")
    assert (entry.key, entry.size_bytes) == ("shop/1/object", len(LARGE))
    assert abs((entry.modified_at - tier.now()).total_seconds()) < 60
    assert abs((tier.now() - utc_now()).total_seconds()) < 60


def test_what_is_deleted_is_gone_and_its_neighbour_stays(tier: Tier, file: Path) -> None:
    file.write_bytes(b"x")
    for key in ("shop/1/a", "shop/1/b", "shop/2/a"):
        tier.put(key, file, ignore)
    for key in ("shop/1/a", "shop/2/a", "shop/2/a", "shop/3/never"):
        tier.delete(key)
    assert tier.list("shop/") == ["shop/1/b"]


def test_the_list_is_sorted_and_by_prefix(tier: Tier, file: Path) -> None:
    file.write_bytes(b"x")
    for key in ("shop/2/b", "shop/1/a", "other/1/c"):
        tier.put(key, file, ignore)
    assert tier.list("shop/") == ["shop/1/a", "shop/2/b"]


def test_a_missing_object_is_told_apart_from_a_dead_tier(tier: Tier, file: Path) -> None:
    tier.put("shop/1/object", file, ignore)
    with pytest.raises(MissingObjectError, match=r"tier x.*shop/1/nothing is missing"):
        list(tier.read("shop/1/nothing"))


def test_an_upload_that_is_cut_leaves_no_object(tier: Tier, file: Path) -> None:
    def cut(done: int) -> None:
        if done > 1_000_000:
            raise OSError("the line is dead")

    with pytest.raises(TierError, match="the line is dead"):
        tier.put("shop/1/object", file, cut)
    assert tier.list("shop/") == []


def test_an_s3_server_that_is_down_is_a_dead_tier() -> None:
    store = S3Server(Path("/nowhere"), free_port(), "key", "secret")
    with pytest.raises(TierError, match=r"tier x .*Could not connect"):
        s3_tier(store, "").list("shop/")


def test_a_bucket_that_is_not_there_is_named(object_stores: tuple[S3Server, S3Server]) -> None:
    with pytest.raises(TierError, match="NoSuchBucket"):
        s3_tier(object_stores[0], "", bucket="nothing").list("shop/")


def test_one_credential_does_not_open_the_other_server(
    object_stores: tuple[S3Server, S3Server],
) -> None:
    foreign = {"access_key": object_stores[1].access_key}
    with pytest.raises(TierError, match="InvalidAccessKeyId"):
        s3_tier(object_stores[0], "", **foreign).list("shop/")


def test_a_folder_whose_disk_is_not_mounted_is_a_dead_tier(tmp_path: Path, file: Path) -> None:
    settings = FolderTierSettings(name="x", kind="folder", path=tmp_path / "mount" / "copies")
    with pytest.raises(TierError, match="not mounted"):
        FolderTier(settings).list("shop/")
    with pytest.raises(TierError, match="No such file"):
        FolderTier(settings).put("shop/1/object", file, ignore)


def test_a_folder_without_room_refuses_and_names_the_limit(tmp_path: Path, file: Path) -> None:
    settings = FolderTierSettings(name="x", kind="folder", path=tmp_path / "copies")
    with pytest.raises(TierError, match="minimum_free_bytes"):
        FolderTier(settings, 10**18).put("shop/1/object", file, ignore)
    assert FolderTier(settings).list("") == []


def test_the_bandwidth_of_a_folder_bounds_both_ways(tmp_path: Path, file: Path) -> None:
    file.write_bytes(LARGE[:2_000_000])
    slow = FolderTier(
        FolderTierSettings(name="x", kind="folder", path=tmp_path / "t", bandwidth=4_000_000)
    )
    begun = time.monotonic()
    slow.put("shop/1/object", file, ignore)
    middle = time.monotonic()
    assert b"".join(slow.read("shop/1/object")) == LARGE[:2_000_000]
    assert 0.2 < middle - begun < 2
    assert 0.2 < time.monotonic() - middle < 2


def test_a_folder_on_the_spools_file_system_takes_the_file_and_a_second_one_has_its_own_copy(
    tmp_path: Path, file: Path
) -> None:
    placed, before = [], file.stat()
    for name in ("one", "two"):
        settings = FolderTierSettings(name=name, kind="folder", path=tmp_path / name)
        FolderTier(settings).put("shop/1/object", file, ignore)
        placed.append((tmp_path / name / "shop/1/object").stat())
    assert [one.st_ino == before.st_ino for one in placed] == [True, False]
    assert all(one.st_mtime > before.st_mtime for one in placed)  # when it came, not its own age
    assert [one.st_mode & 0o777 for one in placed] == [0o600, 0o600]
    assert sorted(path.name for path in (tmp_path / "one").rglob("*")) == ["1", "object", "shop"]
    with (tmp_path / "one/shop/1/object").open("r+b") as damaged:
        damaged.write(b"?")
    assert (tmp_path / "two/shop/1/object").read_bytes() == LARGE


_PUT_AND_DELETE = """
import sys
from pathlib import Path
from backup.tiers.folder import FolderTier
from backup.tiers.settings import FolderTierSettings
tier = FolderTier(FolderTierSettings(name="x", kind="folder", path=Path(sys.argv[1])))
key = f"shop/lock/{sys.argv[2]}"
for _ in range(300):
    tier.mark(key, b"here")
    assert key in tier.list("shop/")
    tier.delete(key)
"""


def test_the_folder_of_the_last_object_may_vanish_under_whoever_comes(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PUT_AND_DELETE, str(tmp_path / "tier"), str(number)],
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for number in range(2)
    ]
    assert [process.communicate(timeout=120)[1].decode() for process in processes] == ["", ""]
