"""What the server itself refuses: deletes before their time, deletes by a backup's credential."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aged_points import put_point
from backup_engines import S3Server
from backup_house import House
from botocore.exceptions import ClientError
from faulty_proxy import Fault, faulty
from lock_server import BUCKET, LockServer, lock_server

from backup.errors import ExistsError, TierError
from backup.prune import prune
from backup.tiers.s3 import S3Tier
from backup.tiers.settings import S3TierSettings
from storewatch.core.clock import utc_now
from storewatch.core.targets import Verdict

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def server() -> Iterator[LockServer]:
    with lock_server() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    return path


def tier(server: LockServer, home: Path, **more: object) -> S3Tier:
    raw = server.tier(prefix=home.name.replace("_", "-"), **more)
    return S3Tier(S3TierSettings.model_validate(raw))


def ignore(_done: int) -> None:
    pass


def test_an_immutable_object_cannot_be_deleted_by_anybody_before_its_time(
    server: LockServer, tmp_path: Path, file: Path
) -> None:
    locked = tier(server, tmp_path, immutable_for="2d")
    locked.put("shop/1/object", file, ignore)
    until = locked.immutable_until("shop/1/object")
    assert until is not None
    assert 1.9 * DAY < until - utc_now() < 2.1 * DAY
    with pytest.raises(TierError, match="AccessDenied"):
        locked.delete("shop/1/object")
    key = f"{tmp_path.name.replace('_', '-')}/shop/1/object"
    (version,) = server.client().list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]
    with pytest.raises(ClientError, match="AccessDenied"):
        server.client().delete_object(
            Bucket=BUCKET, Key=key, VersionId=version["VersionId"], BypassGovernanceRetention=True
        )
    assert b"".join(locked.read("shop/1/object")) == b"x" * 100


def test_a_large_object_is_immutable_too(server: LockServer, tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"y" * (20 << 20))
    locked = tier(server, tmp_path, immutable_for="2d", immutable_mode="governance")
    locked.put("shop/1/object", file, ignore)
    assert locked.immutable_until("shop/1/object") is not None
    with pytest.raises(TierError, match="AccessDenied"):
        locked.delete("shop/1/object")


def test_leases_and_pins_are_not_immutable(server: LockServer, tmp_path: Path) -> None:
    locked = tier(server, tmp_path, immutable_for="2d")
    locked.mark("shop/1/pin.json", b"{}")
    assert locked.immutable_until("shop/1/pin.json") is None
    locked.delete("shop/1/pin.json")
    assert locked.list("shop/") == []


def test_a_bucket_without_object_lock_is_refused_rather_than_believed(
    server: LockServer, tmp_path: Path, file: Path, object_stores: tuple[S3Server, S3Server]
) -> None:
    with pytest.raises(TierError, match="bucket plain has no Object Lock"):
        tier(server, tmp_path, bucket="plain", immutable_for="2d").put("k", file, ignore)
    only_repeats = object_stores[0].tier("x") | {"immutable_for": "2d"}  # rclone takes the headers
    with pytest.raises(TierError, match="has no Object Lock"):
        S3Tier(S3TierSettings.model_validate(only_repeats)).put("k", file, ignore)


def test_a_deleted_object_is_gone_with_all_its_versions(
    server: LockServer, tmp_path: Path, file: Path
) -> None:
    plain = tier(server, tmp_path)
    plain.put("shop/1/object", file, ignore)
    prefix = f"{tmp_path.name.replace('_', '-')}/"
    server.client().delete_object(Bucket=BUCKET, Key=f"{prefix}shop/1/object")  # a marker
    plain.put("shop/1/object", file, ignore)
    plain.delete("shop/1/object")
    left = server.client().list_object_versions(Bucket=BUCKET, Prefix=prefix)
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


def test_the_condition_of_a_put_holds_against_one_that_came_between(
    server: LockServer, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tier(server, tmp_path)
    asked = late._size
    answers: list[Any] = [None]  # as if nothing had been there a moment ago
    monkeypatch.setattr(late, "_size", lambda key: answers.pop() if answers else asked(key))
    key = f"{tmp_path.name.replace('_', '-')}/shop/1/object"
    server.client().put_object(Bucket=BUCKET, Key=key, Body=b"another's")
    with pytest.raises(ExistsError):
        late.put("shop/1/object", file, ignore)
    assert b"".join(late.read("shop/1/object")) == b"another's"


def test_the_credential_of_backups_cannot_delete_and_the_one_of_prunes_can(
    server: LockServer, tmp_path: Path, file: Path
) -> None:
    reading = ("s3:GetObject", "s3:ListBucket", "s3:GetBucketObjectLockConfiguration")
    keeper = server.user("keeper", "s3:PutObject", *reading)
    pruner = server.user("pruner", "s3:DeleteObject*", "s3:ListBucketVersions", *reading)
    own = {"access_key": keeper["access"], "secret_key": keeper["secret"]}
    with_both = own | {
        "prune_access_key": pruner["access"],
        "prune_secret_key": pruner["secret"],
    }
    with_one = own | {
        "prune_access_key": keeper["access"],
        "prune_secret_key": keeper["secret"],
    }
    server.enforce(on=True)
    try:
        tier(server, tmp_path, **with_one).put("shop/1/object", file, ignore)
        with pytest.raises(TierError, match="AccessDenied"):
            tier(server, tmp_path, **with_one).delete("shop/1/object")
        tier(server, tmp_path, **with_both).delete("shop/1/object")
        assert tier(server, tmp_path, **with_both).list("shop/") == []
    finally:
        server.enforce(on=False)


@pytest.fixture
def locked_house(files_house: House, server: LockServer) -> House:
    files_house.raw["tiers"][1] = server.tier(
        name="off-site",
        immutable_for="30d",
        retention={"last": 1, "minimum": 1},
        prefix=files_house.raw["subject"],
    )
    return files_house


def test_a_prune_leaves_what_is_immutable_and_says_until_when(locked_house: House) -> None:
    for age in (3, 2, 1):
        put_point(locked_house.settings, utc_now() - age * DAY, ("off-site",))
    done = prune(locked_house.settings, "off-site", locked_house.evidence)
    assert done.verdict == Verdict.PASS, done.notes
    assert done.value("points_deleted") == 0
    assert done.value("points_kept") == 3
    assert isinstance(utc_now(), datetime)


def test_a_download_does_not_go_on_with_another_object(
    server: LockServer, tmp_path: Path, file: Path
) -> None:
    file.write_bytes(b"old!" * (1 << 20))
    with faulty(server.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        through = tier(server, tmp_path, endpoint_url=url, attempts=3)
        through.put("shop/1/object", file, ignore)
        proxy.faults.append(Fault("GET", "shop/1/object", None))  # half of the answer
        pieces = through.read("shop/1/object")
        assert next(pieces).startswith(b"old!")
        through.mark("shop/1/object", b"new!" * (1 << 20))
        with pytest.raises(TierError, match="PreconditionFailed"):
            list(pieces)
