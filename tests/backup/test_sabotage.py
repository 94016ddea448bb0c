"""What a scheduled drill restores, and the drill that has to fail."""

import random
from datetime import timedelta

import pytest
from backup_house import House, assert_clean, names

from backup import sabotage
from backup.backup import run_backup
from backup.drill_choice import NEWEST, choose
from backup.manifest import FILE_NAME
from backup.sabotage import DAMAGES, run_sabotage
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError
from storewatch.core.evidence import Measurement
from storewatch.core.targets import Target, Verdict


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_copy_is_found_and_named(copy: House, seed: int) -> None:
    before = {path: path.read_bytes() for path in copy.stored("local").rglob("*") if path.is_file()}
    evidence = run_sabotage(copy.settings, "local", copy.evidence, seed=seed)
    assert evidence.verdict is Verdict.PASS, evidence.notes
    assert (evidence.kind, evidence.subject) == ("sabotage", "local")
    assert evidence.notes[0].startswith(f"seed {seed}: ")
    assert before == {
        path: path.read_bytes() for path in copy.stored("local").rglob("*") if path.is_file()
    }
    assert copy.evidence.list(kind="drill") == []  # no failed drill of a good copy is told
    assert not [name for name in names(copy.home) if name.startswith("sabotage-")]
    assert_clean(copy)


def test_the_seeds_choose_every_damage_and_the_manifest_too(copy: House) -> None:
    files = [path.name for path in copy.file(FILE_NAME).parent.iterdir()]
    chosen = set()
    for seed in range(60):
        chance = random.Random(seed)
        chosen.add((chance.choice(sorted(files)), chance.choice(list(DAMAGES))))
    assert {damage for _, damage in chosen} == set(DAMAGES)
    assert {file for file, _ in chosen} == set(files)


def test_a_drill_that_passes_what_was_damaged_is_a_failed_one(
    copy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sabotage, "DAMAGES", {"nothing is done": lambda _file, _chance: None})
    evidence = run_sabotage(copy.settings, "local", copy.evidence, seed=1)
    assert evidence.verdict is Verdict.FAIL
    assert evidence.value("damage_found") == 0


def test_a_scheduled_drill_takes_the_newest_once_a_day_and_then_any(house: House) -> None:
    chance = random.Random(7)
    with pytest.raises(BackupError, match="no tier holds a recovery point"):
        choose(house.settings, [], utc_now(), chance)
    for _ in range(3):
        run_backup(house.settings, house.evidence)
    first = choose(house.settings, [], utc_now(), chance)
    assert first.why == NEWEST
    assert first.identifier == house.file(FILE_NAME).parent.name
    draft = house.evidence.open("drill", first.tier)
    good = [Measurement("checks_failed", 0, "checks", Target("=", 0))]
    passed = draft.finish(good, [f"recovery point {first.identifier}, {NEWEST}"])
    assert passed.verdict is Verdict.PASS
    later = [choose(house.settings, [passed], utc_now(), chance) for _ in range(30)]
    assert {one.why for one in later} == {"any of all"}
    assert len({one.identifier for one in later}) == 3
    assert {one.tier for one in later} == {"local", "off-site", "cloud"}
    tomorrow = utc_now() + timedelta(days=1)
    assert choose(house.settings, [passed], tomorrow, chance).why == NEWEST
