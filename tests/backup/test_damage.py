"""A copy that is not what was written is refused, and what is wrong has a name."""

import pytest
from backup_damage import (
    DAMAGES,
    POSTGRES,
    REDIS,
    edit,
    flip,
    more_keys,
    more_rows,
    newer_order,
    other_checksum,
    other_system,
)
from backup_house import House, assert_clean

from backup.catalogue import list_recovery_points, verify
from backup.drill import run_drill
from backup.manifest import FILE_NAME, Manifest
from storewatch.core.targets import Verdict


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


def test_the_manifest_reads_back_as_it_was_written(golden: House) -> None:
    content = golden.file(FILE_NAME).read_bytes()
    assert Manifest.from_bytes(content).to_bytes() == content
