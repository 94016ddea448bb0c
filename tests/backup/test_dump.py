"""Logical dumps: sealed and delivered like a recovery point, restored table by table."""

import pytest
from cluster import programs
from pydantic import SecretStr
from wal_house import WalHouse

from backup.backup import run_backup, run_dump
from backup.catalogue import list_recovery_points, newest_in
from backup.keys import load_identity
from backup.recovery.logical import restore_dump
from backup.restore import Times, restore_object
from backup.tiers.registry import open_tier
from storewatch.core.errors import BackupError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict


def dumped(house: WalHouse) -> Evidence:
    return run_dump(house.settings, house.evidence)


def test_one_table_of_a_dump_comes_back_and_replaces_nothing(wal_house: WalHouse) -> None:
    wal_house.primary.mark(1)
    made = dumped(wal_house)
    assert made.verdict == Verdict.PASS, made.notes
    assert (made.kind, made.subject) == ("backup", "shop/dump")
    wal_house.primary.mark(2)
    point = list_recovery_points(wal_house.settings).points[0].manifest
    assert point.kind == "logical"
    wal_house.primary.execute("CREATE DATABASE scratch", dbname="postgres")
    into = SecretStr(f"postgresql://postgres@127.0.0.1:{wal_house.primary.port}/scratch")
    restore_dump(wal_house.settings, "local", point.id, into, "marks")
    assert wal_house.primary.execute("SELECT array_agg(n) FROM marks", dbname="scratch") == [1]
    with pytest.raises(BackupError, match='relation "marks" already exists'):
        restore_dump(wal_house.settings, "local", point.id, into, "public.marks")
    with pytest.raises(UsageError, match=r"no table nothing; it has public.marks, public.orders"):
        restore_dump(wal_house.settings, "local", point.id, into, "nothing")


def test_a_dump_is_never_taken_for_the_newest_recovery_point(wal_house: WalHouse) -> None:
    assert run_backup(wal_house.settings, wal_house.evidence).verdict == Verdict.PASS
    assert dumped(wal_house).verdict == Verdict.PASS
    tier = open_tier(wal_house.settings, "local")
    assert newest_in(tier, "shop").kind == "full"


def globals_of(house: WalHouse) -> str:
    point = list_recovery_points(house.settings).points[0].manifest
    tier, identity = open_tier(house.settings, "local"), load_identity(house.home / "identity.txt")
    record = point.record("globals.sql")
    folder = house.home / point.id
    folder.mkdir()
    restore_object(tier, point, record, folder, identity, Times(), lambda *_: None)
    return (folder / "globals.sql").read_text()


def test_roles_come_along_and_their_passwords_only_where_the_account_may_read_them(
    wal_house: WalHouse,
) -> None:
    wal_house.primary.execute("CREATE ROLE clerk LOGIN PASSWORD 'secret'")
    assert dumped(wal_house).verdict == Verdict.PASS
    assert "SCRAM-SHA-256" in globals_of(wal_house)
    wal_house.primary.execute("REVOKE pg_read_all_data FROM storewatch_backup")
    wal_house.primary.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO storewatch_backup")
    made = dumped(wal_house)
    assert made.verdict == Verdict.PASS, made.notes
    assert "dump: roles without passwords, the role may not read them" in made.notes
    text = globals_of(wal_house)
    assert "CREATE ROLE clerk" in text
    assert "SCRAM" not in text


def test_a_table_that_ddl_holds_ends_the_dump_with_one_clear_line(wal_house: WalHouse) -> None:
    wal_house.raw["sources"]["postgres"]["lock_wait"] = "200ms"
    with wal_house.primary.connect() as one:
        one.execute("BEGIN")
        one.execute("LOCK TABLE orders")
        made = dumped(wal_house)
    assert made.verdict == Verdict.FAIL
    assert made.notes[0].startswith(
        "backup failed: dump: a table was locked by a DDL command for longer than 0.2 s"
    )
    assert list_recovery_points(wal_house.settings).points == []


def test_programs_of_another_major_version_are_refused_in_one_line(wal_house: WalHouse) -> None:
    folder = wal_house.home / "bin"
    folder.mkdir()
    for program in programs(wal_house.primary.home).iterdir():
        (folder / program.name).symlink_to(program)
    (folder / "pg_basebackup").unlink()
    (folder / "pg_basebackup").write_text("#!/bin/sh\necho 'pg_basebackup (PostgreSQL) 17.9'\n")
    (folder / "pg_basebackup").chmod(0o755)
    wal_house.raw["sources"]["postgres"]["bin"] = folder
    for made in (run_backup(wal_house.settings, wal_house.evidence), dumped(wal_house)):
        assert made.verdict == Verdict.FAIL
        assert "the server is PostgreSQL 18, the programs in" in made.notes[0]
