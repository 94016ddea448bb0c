"""A drill restores for real, judges, names what is wrong, and leaves nothing."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from backup_damage import POSTGRES, edit
from backup_engines import PASSWORD, ending, until
from backup_house import House, assert_clean
from pydantic import ValidationError

from backup.backup import run_backup
from backup.drill import run_drill
from backup.drill_redis import find_redis_server
from backup.keys import ensure_identity
from backup.manifest import FILE_NAME
from storewatch.core.errors import BackupError, BusyError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict


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
            with pytest.raises(BusyError, match="a restore drill is already running") as caught:
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


def test_an_index_that_does_not_find_its_rows_fails_the_drill(house: House) -> None:
    function = (
        "CREATE OR REPLACE FUNCTION public.turned(bigint) RETURNS bigint IMMUTABLE LANGUAGE sql"
        " AS 'SELECT {}'; "
    )
    index = "CREATE INDEX misled ON orders (public.turned(id)); "
    drilled = drill_of_altered(
        house,
        function.format("$1") + index + function.format("-$1"),
        "DROP FUNCTION public.turned CASCADE",
    )
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("checks_failed") == 1
    assert any("pg_amcheck: " in note and "misled" in note for note in drilled.notes)


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


def test_a_shop_without_postgresql_passes_a_drill_by_its_other_sources(house: House) -> None:
    del house.raw["tiers"][1:]
    del house.raw["sources"]["postgres"]
    house.raw["drill"]["references"] = []
    run_backup(house.settings, house.evidence)
    drilled = run_drill(house.settings, "local", house.evidence)
    assert drilled.verdict == Verdict.PASS, drilled.notes
    assert drilled.value("checks_passed") >= 3
    assert 0 < drilled.value("recovery_point_s") < 60


def test_a_backup_without_the_database_that_is_to_be_in_it_fails_the_drill(house: House) -> None:
    del house.raw["tiers"][1:]
    kept = house.raw["sources"].pop("postgres")
    run_backup(house.settings, house.evidence)
    house.raw["sources"]["postgres"] = kept
    assert run_drill(house.settings, "local", house.evidence).verdict == Verdict.FAIL


def test_a_server_that_a_drill_left_running_is_ended_by_the_next(copy: House) -> None:
    left = copy.home / "scratch" / "drill-left" / "work"
    left.mkdir(parents=True)
    program = find_redis_server(None)
    arguments = [program, "--port", "0", "--dir", left, "--unixsocket", left / "s"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    with ending(process):
        until((left / "s").exists, process)
        assert run_drill(copy.settings, "local", copy.evidence).verdict == Verdict.PASS
        process.wait(1)
    assert_clean(copy)


def test_checks_that_cannot_be_asked_fail_one_by_one(copy: House) -> None:
    copy.raw["drill"]["invariants_view"] = "nowhere"
    copy.raw["drill"]["references"][0]["query"] = "DELETE FROM products RETURNING image"
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict == Verdict.FAIL
    assert drilled.value("checks_failed") == 2
    notes = " ".join(drilled.notes)
    assert 'relation "nowhere" does not exist' in notes
    assert "cannot execute DELETE in a read-only transaction" in notes
