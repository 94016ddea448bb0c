"""A drill restores for real, judges, names what is wrong, and leaves nothing."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backup_engines import PASSWORD, until
from conftest import House, names
from pydantic import ValidationError

from backup.backup import run_backup
from backup.catalogue import list_recovery_points, verify
from backup.drill import run_drill
from backup.drill_redis import find_redis_server
from backup.keys import ensure_identity
from backup.manifest import FILE_NAME, Manifest
from storewatch.core.errors import BackupError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

POSTGRES, REDIS, IMAGES = "postgres.tar.zst.age", "redis.rdb.zst.age", "files-images.tar.zst.age"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def edit(change: Callable[[dict[str, Any]], object], *, digest: bool) -> Callable[[Path], None]:
    """Return how to edit a manifest, with its digest made to fit again or not."""

    def apply(file: Path) -> None:
        members = json.loads(file.read_text())
        change(members)
        file.write_text(json.dumps(members))
        if digest:
            members.pop("digest")
            from backup import manifest as module

            file.write_text(json.dumps(members | {"digest": module._digest(members)}))

    return apply


def smaller(members: dict[str, Any]) -> None:
    members["objects"][0]["stored_bytes"] -= 1


def more_rows(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["tables"][1]["rows"] += 1


def other_checksum(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["tables"][0]["checksum"] = "1"


def other_system(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["system_identifier"] = "7000000000000000000"


def beyond_the_wal(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["stop_lsn"] = "FF/0"


def more_keys(members: dict[str, Any]) -> None:
    members["sources"]["redis"]["keys"] += 1


def newer_order(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["newest_at"] = "2999-01-01T00:00:00Z"


def other_plain_hash(members: dict[str, Any]) -> None:
    members["objects"][1]["plain_sha256"] = "0" * 64


def path_out(members: dict[str, Any]) -> None:
    members["objects"][0]["name"] = "../../etc/passwd"


DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "bit flip": (POSTGRES, flip, f"{POSTGRES} is damaged: SHA-256"),
    "truncation": (POSTGRES, lambda f: os.truncate(f, 1000), f"{POSTGRES} is damaged: 1000 bytes"),
    "emptied": (IMAGES, lambda f: os.truncate(f, 0), f"{IMAGES} is damaged: 0 bytes"),
    "appended": (REDIS, lambda f: f.write_bytes(f.read_bytes() + b"x"), f"{REDIS} is damaged"),
    "missing object": (IMAGES, Path.unlink, f"{IMAGES} is missing"),
    "foreign object": (REDIS, lambda f: f.write_bytes(b"\0" * f.stat().st_size), f"{REDIS} is dam"),
    "edited manifest": (FILE_NAME, edit(smaller, digest=False), "manifest was edited"),
    "truncated manifest": (FILE_NAME, lambda f: os.truncate(f, 500), "manifest is truncated"),
    "manifest with a path": (FILE_NAME, edit(path_out, digest=True), "leads out of its folder"),
    "forged sizes": (FILE_NAME, edit(smaller, digest=True), f"{POSTGRES} is damaged"),
    "forged plain hash": (FILE_NAME, edit(other_plain_hash, digest=True), "plain bytes are not"),
    "WAL too short": (FILE_NAME, edit(beyond_the_wal, digest=True), "the backup ends at FF/0"),
}


def assert_clean(house: House) -> None:
    assert names(house.home / "scratch") == ["lock"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", house.settings.drill.port)) != 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_fails_the_drill_and_is_named(copy: House, damage: str) -> None:
    name, spoil, named = DAMAGES[damage]
    spoil(copy.file(name))
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("checks_failed") >= 1
    assert any(named in note for note in drilled.notes), drilled.notes
    assert_clean(copy)


def test_a_copy_of_something_else_fails_in_every_check_that_can_tell(copy: House) -> None:
    changes = (more_rows, other_checksum, other_system, more_keys, newer_order)
    edit(lambda members: [change(members) for change in changes], digest=True)(copy.file(FILE_NAME))
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("checks_failed") == len(changes)
    notes = "\n".join(drilled.notes)
    for named in ("table orders: ", "table products: ", "redis keys: ", "newest order: "):
        assert named in notes
    assert "WAL replayed: system" in notes


def test_several_damaged_objects_are_all_named(copy: House) -> None:
    flip(copy.file(POSTGRES))
    copy.file(REDIS).unlink()
    notes = " ".join(run_drill(copy.settings, "local", copy.evidence).notes)
    assert f"{POSTGRES} is damaged" in notes
    assert f"{REDIS} is missing" in notes
    _manifest, problems = verify(copy.settings, "local")
    assert len(problems) == 2


def test_verify_names_a_file_that_belongs_to_nothing(copy: House) -> None:
    copy.file("intruder.tar").write_bytes(b"x")
    assert "intruder.tar belongs to no object" in verify(copy.settings, "local")[1][0]


def test_a_damaged_manifest_is_named_in_the_list_and_hides_nothing_else(copy: House) -> None:
    copy.file(FILE_NAME).write_text("{")
    catalogue = list_recovery_points(copy.settings)
    assert catalogue.points == []
    assert "manifest is truncated or malformed" in catalogue.problems[0]
    assert "tier local" in catalogue.problems[0]


def test_the_wrong_identity_is_named_and_the_drill_fails(copy: House) -> None:
    copy.raw["identity_file"] = copy.home / "other.txt"
    ensure_identity(copy.home / "other.txt")
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert any("age: " in note and POSTGRES in note for note in drilled.notes), drilled.notes
    assert_clean(copy)


def test_a_lost_identity_fails_the_drill_instead_of_skipping_it(copy: House) -> None:
    copy.raw["identity_file"] = copy.home / "nowhere.txt"
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert "no identity at" in drilled.notes[0]


def test_an_identity_that_others_can_read_is_refused(copy: House) -> None:
    copy.raw["identity_file"] = copy.home / "open.txt"
    ensure_identity(copy.home / "open.txt")
    (copy.home / "open.txt").chmod(0o644)
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert "readable by others" in drilled.notes[0]


def test_a_tier_without_any_recovery_point_fails_the_drill(copy: House) -> None:
    copy.raw["subject"] = "another-shop"
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert "holds no recovery point of another-shop" in drilled.notes[0]


def test_a_drill_from_an_unknown_tier_says_which_there_are(copy: House) -> None:
    with pytest.raises(UsageError, match="there is no tier 'moon'; use one of local"):
        run_drill(copy.settings, "moon", copy.evidence)


def test_a_drill_on_the_port_of_production_is_refused(copy: House) -> None:
    copy.raw["drill"]["port"] = copy.shop.postgres_port
    with pytest.raises(ValidationError, match="is a port of production"):
        _ = copy.settings


def test_a_drill_on_a_port_in_use_names_the_holder(copy: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        copy.raw["drill"]["port"] = holder.getsockname()[1]
        with pytest.raises(BackupError, match=rf"is in use by .* \(pid {os.getpid()}\)"):
            run_drill(copy.settings, "local", copy.evidence)


def test_two_drills_at_once_the_second_is_refused(copy: House) -> None:
    refused = []

    def second(label: str, done: int, total: int | None) -> None:
        if not refused:
            with pytest.raises(BackupError, match="a restore drill is already running") as caught:
                run_drill(copy.settings, "local", copy.evidence)
            refused.append(caught.value)

    assert run_drill(copy.settings, "local", copy.evidence, second).verdict == Verdict.PASS
    assert refused


def test_the_restored_server_is_cut_off_from_production(copy: House) -> None:
    found: dict[str, str] = {}

    def look(label: str, done: int, total: int | None) -> None:
        if label == "check rows and references":
            port = copy.settings.drill.port
            login = f"host=127.0.0.1 port={port} user=postgres dbname=shop"
            with psycopg.connect(login, password=PASSWORD) as one:
                found.update(one.execute("SELECT name, setting FROM pg_settings").fetchall())
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(login, password="wrong")

    drilled = run_drill(copy.settings, "local", copy.evidence, look)
    assert drilled.verdict == Verdict.PASS, drilled.notes
    assert found["archive_mode"] == "off"
    assert found["listen_addresses"] == "127.0.0.1"
    for name in ("primary_conninfo", "synchronous_standby_names", "archive_library"):
        assert found[name] == ""
    assert found["max_wal_senders"] == found["max_logical_replication_workers"] == "0"


def test_a_drill_that_breaks_off_is_a_failed_drill_and_cleans_up(copy: House) -> None:
    def break_off(label: str, done: int, total: int | None) -> None:
        if label == "check rows and references":
            raise RuntimeError("lightning")

    drilled = run_drill(copy.settings, "local", copy.evidence, break_off)
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("recovery_time_s") is None
    assert "postgres: RuntimeError: lightning" in drilled.notes
    assert_clean(copy)


def test_an_interrupted_drill_cleans_up(copy: House) -> None:
    def interrupt(label: str, done: int, total: int | None) -> None:
        if label == "check rows and references":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_drill(copy.settings, "local", copy.evidence, interrupt)
    assert_clean(copy)


def test_a_slow_recovery_fails_against_its_target(copy: House) -> None:
    copy.raw["drill"]["targets"] = {"recovery_time_s": "<= 0.001", "recovery_point_s": "<= 3600"}
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("checks_failed") == 0


def test_a_database_that_refers_to_a_missing_image_fails_the_drill(house: House) -> None:
    del house.raw["tiers"][1:]
    (house.shop.images / "7.svg").unlink()
    assert run_backup(house.settings, house.evidence).verdict == Verdict.PASS
    drilled = run_drill(house.settings, "local", house.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert "references to images: 1 of 20 are missing: 7.svg" in drilled.notes


@contextmanager
def altered(house: House, change: str, undo: str) -> Iterator[None]:
    with house.shop.connect() as one:
        one.execute(change)
        try:
            yield
        finally:
            one.execute(undo)


def drill_of_altered(house: House, change: str, undo: str) -> Evidence:
    """Back up an altered database and drill the copy."""
    del house.raw["tiers"][1:]
    with altered(house, change, undo):
        run_backup(house.settings, house.evidence)
    return run_drill(house.settings, "local", house.evidence)


def test_a_violated_invariant_in_the_restored_database_fails_the_drill(house: House) -> None:
    drilled = drill_of_altered(
        house,
        "UPDATE products SET stock = -1 WHERE id = 3",
        "UPDATE products SET stock = 1000 WHERE id = 3",
    )
    assert drilled.verdict == Verdict.FAIL
    assert "invariants: stock_below_zero: 1" in drilled.notes


def test_a_table_that_is_gone_is_named_and_the_others_are_still_checked(house: House) -> None:
    del house.raw["tiers"][1:]
    house.raw["sources"]["postgres"]["tables"] = [
        {"name": "notes"},
        *house.raw["sources"]["postgres"]["tables"],
    ]
    run_backup(house.settings, house.evidence)
    manifest = house.file(FILE_NAME)
    edit(lambda m: m["sources"]["postgres"]["tables"][0].update(name="gone"), digest=True)(manifest)
    drilled = run_drill(house.settings, "local", house.evidence)
    assert any(note.startswith("table gone: ") for note in drilled.notes)
    assert drilled.value("rows_verified") >= 1020


def test_a_backup_that_records_no_table_cannot_pass_a_drill(house: House) -> None:
    del house.raw["tiers"][1:]
    house.raw["sources"]["postgres"]["tables"] = []
    run_backup(house.settings, house.evidence)
    drilled = run_drill(house.settings, "local", house.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("rows_verified") == 0


def test_the_manifest_reads_back_as_it_was_written(golden: House) -> None:
    content = golden.file(FILE_NAME).read_bytes()
    assert Manifest.from_bytes(content).to_bytes() == content


def test_a_server_that_a_drill_left_running_is_ended_by_the_next(copy: House) -> None:
    left = copy.home / "scratch" / "drill-left" / "work"
    left.mkdir(parents=True)
    program = find_redis_server(None)
    arguments = [program, "--port", "0", "--dir", left, "--unixsocket", left / "s"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    until((left / "s").exists, process)
    assert run_drill(copy.settings, "local", copy.evidence).verdict == Verdict.PASS
    process.wait(1)
    assert_clean(copy)
