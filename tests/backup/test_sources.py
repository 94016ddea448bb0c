"""What the sources say of their copies."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from backup_house import House, names

from backup.drill_redis import count_keys, find_redis_server
from backup.errors import DamagedError
from backup.parents import Parents
from backup.recovery.point_in_time import restore_to
from backup.sources.files import FilesSource
from backup.sources.postgres import PostgresSource
from backup.sources.redis import RedisSource, first_database
from backup.sources.settings import FilesSourceSettings
from backup.tables import TableRecord, measure, same_text_everywhere
from backup.untar import untar
from storewatch.core.errors import BackupError, UsageError


class Kept:
    """Takes objects in memory."""

    def __init__(self, at_write: Callable[[], None] = lambda: None) -> None:
        self.objects: dict[str, bytes] = {}
        self._at_write = at_write

    @contextmanager
    def open(self, name: str, _estimate: int | None) -> Iterator[Any]:
        buffer = io.BytesIO()

        class Sink:
            def write(_self, data: bytes) -> int:
                self._at_write()
                return buffer.write(data)

        yield Sink()
        self.objects[name] = buffer.getvalue()


def files(folder: Path) -> FilesSource:
    return FilesSource(FilesSourceSettings(name="images", path=folder))


def test_files_come_with_a_listing_of_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.svg").write_bytes(b"a")
    (tmp_path / "sub" / "é b.svg").write_bytes(b"b" * 3000)
    kept = Kept()
    captured = files(tmp_path).capture(kept.open)
    assert captured.problems == ()
    assert captured.facts["files"] == 2
    assert captured.facts["bytes"] == 3001
    lines = kept.objects["files-images.sha256"].decode().splitlines()
    assert [line[66:] for line in lines] == ["a.svg", "sub/é b.svg"]
    with tarfile.open(fileobj=io.BytesIO(kept.objects["files-images.tar"])) as archive:
        assert archive.extractfile("sub/é b.svg").read() == b"b" * 3000  # type: ignore[union-attr]


def test_a_file_that_shrinks_while_it_is_read_is_named_and_the_archive_stays_whole(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.bin").write_bytes(os.urandom(3_000_000))
    (tmp_path / "b.bin").write_bytes(b"after")
    kept = Kept(lambda: os.truncate(tmp_path / "a.bin", 10))
    captured = files(tmp_path).capture(kept.open)
    assert captured.problems == ("files-images: a.bin: changed while it was read",)
    with tarfile.open(fileobj=io.BytesIO(kept.objects["files-images.tar"])) as archive:
        assert archive.extractfile("b.bin").read() == b"after"  # type: ignore[union-attr]


def test_a_file_that_grows_while_it_is_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(os.urandom(3_000_000))

    def grow() -> None:
        with (tmp_path / "a.bin").open("ab") as file:
            file.write(b"more")

    captured = files(tmp_path).capture(Kept(grow).open)
    assert captured.problems == ("files-images: a.bin: changed while it was read",)


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(os.urandom(3_000_000))
    (tmp_path / "b.bin").write_bytes(b"b")
    captured = files(tmp_path).capture(Kept(lambda: (tmp_path / "b.bin").unlink(True)).open)
    assert captured.problems == ("files-images: b.bin: vanished",)
    assert captured.facts["files"] == 1


def test_a_folder_that_is_not_there_is_an_error_and_no_empty_copy(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is not a folder"):
        files(tmp_path / "nothing").capture(Kept().open)


def test_the_redis_snapshot_has_the_key_count_of_its_moment(house: House) -> None:
    house.shop.redis().flushall()
    house.shop.redis().mset({f"k{n}": n for n in range(20_000)})
    house.shop.redis().set("session", "x", ex=1000)
    kept = Kept()
    source = house.settings.sources.redis
    assert source is not None
    facts = RedisSource(source).capture(kept.open).facts
    assert (facts["database"], facts["keys"], facts["expiring"]) == (0, 20_001, 1)
    assert facts["redis_version"].startswith("6.")
    assert facts["offset"] >= 0
    assert kept.objects["redis.rdb"].startswith(b"REDIS")


def test_keys_that_ran_out_since_the_snapshot_still_count(house: House) -> None:
    cache = house.shop.redis()
    cache.flushall()
    cache.set("lasting", "x")
    cache.set("session", "x", px=300)
    source = house.settings.sources.redis
    assert source is not None
    kept = Kept()
    facts = RedisSource(source).capture(kept.open).facts
    assert (facts["keys"], facts["expiring"]) == (2, 1)
    snapshot = house.home / "redis.rdb"
    snapshot.write_bytes(kept.objects["redis.rdb"])
    cache.blpop("nothing", timeout=0.4)
    assert cache.exists("session") == 0
    assert count_keys(snapshot, 0, find_redis_server(None), house.home, 20) == 2


def test_a_damaged_snapshot_does_not_load(house: House) -> None:
    house.shop.redis().mset({f"k{n}": "value" * 10 for n in range(100)})
    source = house.settings.sources.redis
    assert source is not None
    kept = Kept()
    RedisSource(source).capture(kept.open)
    snapshot = house.home / "redis.rdb"
    snapshot.write_bytes(kept.objects["redis.rdb"][:500])
    with pytest.raises(BackupError, match="redis-server ended"):
        count_keys(snapshot, 0, find_redis_server(None), house.home, 20)


def test_an_empty_redis_is_copied_as_empty(house: House) -> None:
    house.shop.redis().flushall()
    source = house.settings.sources.redis
    assert source is not None
    assert RedisSource(source).capture(Kept().open).facts["keys"] == 0


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK", b"REDIS0009\xfa\x09redis"])
def test_what_is_no_snapshot_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="RDB"):
        first_database(head)


def test_rows_of_a_transaction_under_way_stay_above_the_boundary(house: House) -> None:
    house.raw["sources"]["postgres"]["settle"] = "1ms"
    settings = house.settings.sources.postgres
    assert settings is not None
    source = PostgresSource(
        settings, Path("unused"), Path("unused"), Parents(Path("unused")), lambda _id: ""
    )
    with house.shop.connect() as slow, house.shop.connect() as connection:
        slow.execute("BEGIN")
        slow.execute("INSERT INTO orders (key, total_cents) VALUES (gen_random_uuid(), 1)")
        with house.shop.connect() as other:  # a later order that is already there
            other.execute("INSERT INTO orders (key, total_cents) VALUES (gen_random_uuid(), 1)")
            other.execute("SELECT pg_sleep(0.05)")  # the clock leaves both behind
        facts, _size = source._record(connection)
        slow.execute("COMMIT")
        recorded = TableRecord.from_json(facts["tables"][1])
        boundary = datetime.fromisoformat(facts["boundary"])
        again = measure(
            connection, recorded.name, recorded.columns, recorded.settled_by, None, boundary
        )
    assert facts["boundary_basis"] == "oldest transaction"
    assert recorded.rows >= 500
    assert again == recorded


def test_the_checksum_sees_one_changed_character_and_not_the_order_of_rows(house: House) -> None:
    now = datetime.fromisoformat("2999-01-01T00:00:00+00:00")
    with house.shop.connect() as one:
        same_text_everywhere(one)
        one.execute("CREATE TEMP TABLE a AS SELECT n, 'x' || n AS t FROM generate_series(1, 9) n")
        one.execute("CREATE TEMP TABLE b AS SELECT * FROM a ORDER BY n DESC")
        a, b = (measure(one, name, (), None, None, now) for name in ("a", "b"))
        assert (a.rows, a.checksum) == (b.rows, b.checksum)
        one.execute("UPDATE b SET t = 'y1' WHERE n = 1")
        assert measure(one, "b", (), None, None, now).checksum != a.checksum


def test_a_recovery_point_is_restored_into_an_empty_folder(golden: House, tmp_path: Path) -> None:
    target = tmp_path / "new"
    manifest = restore_to(golden.settings, "local", target).manifest
    whole = ["files-images", "files-images.sha256", "postgres", "redis", "redis.rdb"]
    assert sorted(names(target)) == whole
    assert (target / "postgres" / "PG_VERSION").read_text().strip() == "18"
    assert len(names(target / "files-images")) == 20
    assert manifest.problems == ()


def test_a_restore_into_a_folder_that_holds_something_is_refused(
    golden: House, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("do not lose me")
    with pytest.raises(UsageError, match="is not empty"):
        restore_to(golden.settings, "local", tmp_path)
    assert names(tmp_path) == ["precious"]


LINK, DEVICE = tarfile.SYMTYPE, tarfile.CHRTYPE
TRICKS = {
    "parent": ("../outside", tarfile.REGTYPE),
    "absolute": ("/tmp/outside", tarfile.REGTYPE),
    "link": ("link", LINK),
    "device": ("device", DEVICE),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_an_archive_that_reaches_out_is_refused(tmp_path: Path, trick: str) -> None:
    name, kind = TRICKS[trick]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    buffer.seek(0)
    place = tmp_path / "inside" / "place"
    place.parent.mkdir()
    with pytest.raises(DamagedError, match="the archive has"):
        untar(buffer, place)
    assert names(place) == []
    assert names(tmp_path) == ["inside"]
