"""An S3 tier behind a network and a server that fail in every known way."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from backup_engines import BUCKET, S3Server
from faulty_proxy import ERROR, Fault, FaultyProxy, faulty, reset, silence, status

from backup.errors import ExistsError, TierError
from backup.tiers import s3_upload
from backup.tiers.s3 import S3Tier
from backup.tiers.settings import S3TierSettings

PART = 5 << 20
LARGE = os.urandom(2 * PART + 1_000_000)  # three parts
KEY = "shop/1/object"


def ignore(_done: int) -> None:
    pass


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)


@pytest.fixture
def proxy(object_stores: tuple[S3Server, S3Server]) -> Iterator[FaultyProxy]:
    with faulty(object_stores[0].port) as running:
        yield running


@pytest.fixture
def client(object_stores: tuple[S3Server, S3Server]) -> Any:
    store = object_stores[0]
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{store.port}",
        region_name="us-east-1",
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "file"
    path.write_bytes(LARGE)
    return path


@pytest.fixture
def through(proxy: FaultyProxy, object_stores: tuple[S3Server, S3Server], tmp_path: Path) -> S3Tier:
    return tier_through(proxy, object_stores[0], tmp_path)


def tier_through(proxy: FaultyProxy, store: S3Server, tmp_path: Path, **more: object) -> S3Tier:
    raw = store.tier("x") | {
        "endpoint_url": f"http://127.0.0.1:{proxy.port}",
        "prefix": tmp_path.name.replace("_", "-"),
        "attempts": 3,
        "timeout": "500ms",
    }
    return S3Tier(S3TierSettings.model_validate(raw | more))


def assert_no_stray_upload(client: Any) -> None:
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


PASSING = {
    "part answered with 500": Fault("PUT", "partNumber=2", status(500)),
    "part answered with 503": Fault("PUT", "partNumber=2", status(503), times=2),
    "part reset in the middle": Fault("PUT", "partNumber=2", reset, read=False),
    "part never answered": Fault("PUT", "partNumber=2", silence),
    "answer to a part lost": Fault("PUT", "partNumber=2", reset, forward=True),
    "completion answered with 500": Fault("POST", "uploadId", status(500)),
    "completion answered with 200 and an error": Fault("POST", "uploadId", status(200)),
    "answer to the completion lost": Fault("POST", "uploadId", reset, forward=True),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_tried_again_and_the_object_is_whole(
    proxy: FaultyProxy, through: S3Tier, client: Any, large: Path, fault: str
) -> None:
    proxy.faults.append(PASSING[fault])
    PASSING[fault].times = max(PASSING[fault].times, 1)
    seen: list[int] = []
    through.put(KEY, large, seen.append)
    assert PASSING[fault].times == 0
    assert b"".join(through.read(KEY)) == LARGE
    assert seen[-1] == len(LARGE)
    assert len(proxy.did("PUT", "partNumber=1")) == 1  # the parts that were there stayed there
    assert_no_stray_upload(client)


LASTING = {
    "part answered with 503": Fault("PUT", "partNumber=2", status(503), times=99),
    "part reset in the middle": Fault("PUT", "partNumber=3", reset, times=99, read=False),
    "completion answered with 200 and an error": Fault("POST", "uploadId", status(200), times=99),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_aborts_the_upload_and_leaves_no_object(
    proxy: FaultyProxy, through: S3Tier, client: Any, large: Path, fault: str
) -> None:
    proxy.faults.append(LASTING[fault])
    with pytest.raises(TierError, match=r"tier x .*shop/1/object"):
        through.put(KEY, large, ignore)
    proxy.faults.clear()
    assert through.list("shop/") == []
    assert_no_stray_upload(client)
    through.put(KEY, large, ignore)
    assert b"".join(through.read(KEY)) == LARGE


@pytest.mark.parametrize(
    ("second", "sent"), [(LARGE[PART : 2 * PART], ["3"]), (b"other bytes", ["1", "2", "3"])]
)
def test_an_upload_that_was_killed_goes_on_with_its_parts_if_they_are_ours(
    proxy: FaultyProxy,
    through: S3Tier,
    client: Any,
    large: Path,
    tmp_path: Path,
    second: bytes,
    sent: list[str],
) -> None:
    key = f"{tmp_path.name.replace('_', '-')}/{KEY}"
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    there = {"Bucket": BUCKET, "Key": key, "UploadId": upload}
    client.upload_part(**there, PartNumber=1, Body=LARGE[:PART])
    client.upload_part(**there, PartNumber=2, Body=second)
    through.put(KEY, large, ignore)
    paths = [path for _, path, _ in proxy.did("PUT", "partNumber")]
    assert sorted(path.partition("partNumber=")[2][0] for path in paths) == sent
    assert b"".join(through.read(KEY)) == LARGE
    assert_no_stray_upload(client)


def test_uploads_that_nobody_goes_on_with_are_swept(
    through: S3Tier, client: Any, tmp_path: Path
) -> None:
    key = f"{tmp_path.name.replace('_', '-')}/shop/2/gone"
    client.create_multipart_upload(Bucket=BUCKET, Key=key)
    now = through.now()
    assert through.sweep("shop/", now.replace(year=now.year - 1)) == 0
    assert through.sweep("shop/", now.replace(year=now.year + 1)) == 1
    assert_no_stray_upload(client)


CUTS = {
    "half the answer": Fault("GET", KEY, None),
    "an error with 200": Fault("GET", KEY, status(200)),
    "500": Fault("GET", KEY, status(500)),
    "silence": Fault("GET", KEY, silence),
    "reset": Fault("GET", KEY, reset),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_download_that_is_cut_goes_on_where_it_broke(
    proxy: FaultyProxy, through: S3Tier, large: Path, cut: str
) -> None:
    through.put(KEY, large, ignore)
    proxy.seen.clear()
    proxy.faults.append(CUTS[cut])
    CUTS[cut].times = 1
    assert b"".join(through.read(KEY)) == LARGE
    assert CUTS[cut].times == 0
    assert len(proxy.did("GET", KEY)) == 2


def test_a_download_that_brings_nothing_new_ends_with_an_error(
    proxy: FaultyProxy, through: S3Tier, large: Path
) -> None:
    through.put(KEY, large, ignore)
    proxy.faults.append(Fault("GET", KEY, status(200), times=99))
    with pytest.raises(TierError, match="200 with an error body"):
        list(through.read(KEY))


def test_a_listing_with_an_error_in_its_body_is_no_empty_tier(
    proxy: FaultyProxy, through: S3Tier
) -> None:
    proxy.faults.append(Fault("GET", "list-type=2", status(200), times=99))
    with pytest.raises(TierError, match="InternalError"):
        through.list("shop/")


def test_a_small_put_that_is_answered_with_an_error_body_is_no_success(
    proxy: FaultyProxy, through: S3Tier, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x" * 100)
    proxy.faults.append(Fault("PUT", KEY, status(200), times=99))
    with pytest.raises(TierError):
        through.put(KEY, small, ignore)
    assert ERROR.startswith(b"<?xml")


def test_a_part_of_an_object_is_read_alone(through: S3Tier, large: Path) -> None:
    through.put(KEY, large, ignore)
    assert b"".join(through.read(KEY, 1000, 50)) == LARGE[1000:1050]
    assert b"".join(through.read(KEY, len(LARGE) - 5)) == LARGE[-5:]


def test_other_bytes_under_a_key_are_refused_and_stay(through: S3Tier, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"first")
    through.put(KEY, small, ignore)
    through.put(KEY, small, ignore)
    small.write_bytes(b"other")
    with pytest.raises(ExistsError, match="exists with other bytes"):
        through.put(KEY, small, ignore)
    assert b"".join(through.read(KEY)) == b"first"


def test_the_bandwidth_bounds_both_ways(
    proxy: FaultyProxy, object_stores: tuple[S3Server, S3Server], tmp_path: Path
) -> None:
    slow = tier_through(proxy, object_stores[0], tmp_path, bandwidth=2_000_000)
    file = tmp_path / "file"
    file.write_bytes(LARGE[:2_000_000])
    begun = time.monotonic()
    slow.put(KEY, file, ignore)
    middle = time.monotonic()
    assert middle - begun > 0.7
    assert b"".join(slow.read(KEY)) == LARGE[:2_000_000]
    assert time.monotonic() - middle > 0.7


def test_nothing_is_deleted_without_the_credential_for_it(
    proxy: FaultyProxy, object_stores: tuple[S3Server, S3Server], tmp_path: Path, large: Path
) -> None:
    store = object_stores[0]
    plain = tier_through(proxy, store, tmp_path)
    plain.put(KEY, large, ignore)
    with pytest.raises(TierError, match="give prune_access_key"):
        plain.delete(KEY)
    proxy.seen.clear()
    pruning = {"prune_access_key": store.prune_key, "prune_secret_key": store.secret_key}
    pruner = tier_through(proxy, store, tmp_path, **pruning)
    pruner.delete(KEY)
    pruner.delete(KEY)
    assert pruner.list("shop/") == []
    assert {key for _, _, key in proxy.did("DELETE")} == {store.prune_key}
