"""What happens to the database while it is backed up."""

from collections.abc import Callable

from backup_damage import edit, other_system
from cluster import url
from loopback import free_port
from wal_house import WalHouse, eventually

from backup.backup import run_backup
from backup.catalogue import list_recovery_points
from backup.drill import run_drill
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

SCHEMA = """
CREATE TABLE gone (n int); INSERT INTO gone VALUES (1);
CREATE TABLE emptied (n int); INSERT INTO emptied VALUES (1);
CREATE TABLE rewritten (n int); INSERT INTO rewritten SELECT generate_series(1, 9);
CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 5);
CREATE TABLE parts (n int) PARTITION BY RANGE (n);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9);
INSERT INTO parts VALUES (1);
"""


def backed_up_while(house: WalHouse, act: Callable[[], object]) -> Evidence:
    """Back up, and act once while the base backup is streamed."""
    acted: list[bool] = []

    def watch(label: str, _done: int, _total: int | None) -> None:
        if label == "seal postgres.tar" and not acted:
            acted.append(True)
            act()

    made = run_backup(house.settings, house.evidence, watch)
    assert acted
    return made


def test_tables_dropped_truncated_or_rewritten_meanwhile_are_named_and_not_compared(
    wal_house: WalHouse,
) -> None:
    primary = wal_house.primary
    primary.execute(SCHEMA)
    tables = ["gone", "emptied", "rewritten", "kept", "parts"]
    wal_house.raw["sources"]["postgres"]["tables"] = [{"name": name} for name in tables]
    wal_house.raw["drill"]["port"] = free_port()

    def change() -> None:
        primary.execute("DROP TABLE gone")
        primary.execute("TRUNCATE emptied, parts_1")
        primary.execute("ALTER TABLE rewritten ALTER n TYPE bigint")

    made = backed_up_while(wal_house, change)
    assert made.verdict == Verdict.PASS, made.notes
    assert list(made.notes[-4:]) == [
        "gone was dropped during the backup",
        "emptied was rewritten or truncated during the backup",
        "rewritten was rewritten or truncated during the backup",
        "parts was rewritten or truncated during the backup",
    ]
    drilled = run_drill(wal_house.settings, "local", wal_house.evidence)
    assert not [note for note in drilled.notes if note.startswith("table ")], drilled.notes
    assert drilled.value("rows_verified") == 5


def test_a_primary_that_dies_during_the_backup_fails_it_and_the_next_one_is_of_the_promoted(
    wal_house: WalHouse,
) -> None:
    standby = wal_house.primary.standby("b")
    wal_house.raw["sources"]["postgres"]["url"] = url(wal_house.primary, standby)
    with standby.running():
        wal_house.primary.mark(1)
        eventually(lambda: 1 in standby.marks())

        def fail_over() -> None:
            wal_house.primary.process.kill()
            wal_house.primary.process.wait()
            standby.promote()

        wal_house.primary.execute(
            "INSERT INTO orders SELECT n, repeat('y', 1000) FROM generate_series(3000, 60000) n"
        )
        made = backed_up_while(wal_house, fail_over)
        assert made.verdict == Verdict.FAIL
        assert "postgres: " in made.notes[0]
        assert list_recovery_points(wal_house.settings).points == []
        again = run_backup(wal_house.settings, wal_house.evidence)
    assert again.verdict == Verdict.PASS, again.notes
    facts = list_recovery_points(wal_house.settings).points[0].manifest.sources["postgres"]
    assert (facts["timeline"], facts["node"]) == (2, f"127.0.0.1:{standby.port}")


def test_another_database_is_not_put_beside_the_recovery_points_that_are_there(
    wal_house: WalHouse,
) -> None:
    assert run_backup(wal_house.settings, wal_house.evidence).verdict == Verdict.PASS
    manifest = next((wal_house.home / "local" / "shop").glob("0*/manifest.json"))
    edit(other_system, digest=True)(manifest)
    made = run_backup(wal_house.settings, wal_house.evidence)
    assert made.verdict == Verdict.FAIL
    told = "degraded: tier local: shop/ holds recovery points of system 7000000000000000000, ours"
    assert any(note.startswith(told) for note in made.notes), made.notes
    assert len(list_recovery_points(wal_house.settings).points) == 1
