"""Several recipients, rotated keys, and the canary that tells when a key is lost or wrong."""

from datetime import timedelta
from pathlib import Path

import pytest
from backup_damage import flip
from backup_house import House, names

from backup.backup import run_backup
from backup.canary import canary
from backup.keys import ensure_identity, load_identity, load_recipients, rotate_keys
from backup.manifest import FILE_NAME
from backup.recovery.point_in_time import restore_to
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def two_tiers(files_house: House) -> None:
    files_house.raw["tiers"].pop()


def tomorrow(house: House) -> Evidence:
    return canary(house.settings, house.evidence, clock=lambda: utc_now() + DAY)


def make(house: House) -> None:
    assert run_backup(house.settings, house.evidence).verdict == Verdict.PASS


def test_any_of_several_recipients_opens_a_backup(files_house: House) -> None:
    safe = files_house.home / "safe.txt"
    with (files_house.home / "recipients.txt").open("a") as file:
        file.write(f"# in the safe\n{ensure_identity(safe)}\n")
    assert len(load_recipients(files_house.settings)) == 2
    make(files_house)
    for number, identity in enumerate((files_house.home / "identity.txt", safe)):
        files_house.raw["identity_file"] = identity
        target = files_house.home / f"restored-{number}"
        restore_to(files_house.settings, "local", target)
        assert len(names(target / "files-images")) == 20


def test_after_a_rotation_old_and_new_backups_open(files_house: House) -> None:
    safe = ensure_identity(files_house.home / "safe.txt")
    with (files_house.home / "recipients.txt").open("a") as file:
        file.write(f"# in the safe\n{safe}\n")
    make(files_house)
    before = load_identity(files_house.home / "identity.txt")
    recipient = rotate_keys(files_house.settings)
    after = load_identity(files_house.home / "identity.txt")
    assert [str(one) for one in after[1:]] == [str(one) for one in before]
    lines = (files_house.home / "recipients.txt").read_text().splitlines()
    assert lines == [recipient, "# in the safe", safe]
    assert (files_house.home / "identity.txt").stat().st_mode & 0o777 == 0o600
    make(files_house)
    ids = sorted(path.name for path in files_house.stored("local").iterdir())
    for identifier in ids:
        restore_to(files_house.settings, "local", files_house.home / identifier, point=identifier)
    assert tomorrow(files_house).verdict == Verdict.PASS
    (files_house.home / "identity.txt").write_text(f"{after[0]}\n")  # the old one is thrown away
    with pytest.raises(BackupError, match="age: "):
        restore_to(files_house.settings, "local", files_house.home / "old", point=ids[0])
    died = tomorrow(files_house)
    assert died.verdict == Verdict.FAIL
    assert ids[0] in " ".join(died.notes)
    assert "does not open it" in " ".join(died.notes)


def test_the_canary_opens_every_tier_on_the_next_day(files_house: House) -> None:
    make(files_house)
    today = canary(files_house.settings, files_house.evidence)
    assert today.verdict == Verdict.PASS
    assert "nothing is of yesterday or before" in " ".join(today.notes)
    done = tomorrow(files_house)
    assert (done.kind, done.subject) == ("canary", files_house.raw["subject"])
    assert done.verdict == Verdict.PASS, done.notes
    assert done.value("copies_opened") == 2
    assert "nothing is of yesterday" not in " ".join(done.notes)


def test_a_large_object_is_opened_by_its_beginning_alone(files_house: House) -> None:
    import os

    (files_house.shop.images / "large.bin").write_bytes(os.urandom(5_000_000))
    make(files_house)
    for _ in range(6):
        done = tomorrow(files_house)
        assert done.verdict == Verdict.PASS, done.notes


def test_a_lost_key_kills_the_canary_by_name(files_house: House) -> None:
    make(files_house)
    (files_house.home / "identity.txt").unlink()
    done = tomorrow(files_house)
    assert done.verdict == Verdict.FAIL
    assert f"no identity at {files_house.home / 'identity.txt'}" in done.notes[0]


def test_a_wrong_key_kills_the_canary_by_name(files_house: House) -> None:
    make(files_house)
    (files_house.home / "identity.txt").unlink()
    ensure_identity(files_house.home / "identity.txt")
    done = tomorrow(files_house)
    assert done.verdict == Verdict.FAIL
    assert done.value("copies_refused") == 2
    assert f"identity {files_house.home / 'identity.txt'} does not open it" in done.notes[0]


def test_an_altered_copy_kills_the_canary(files_house: House) -> None:
    make(files_house)
    for path in files_house.file(FILE_NAME).parent.glob("*.age"):
        flip(path)
    assert tomorrow(files_house).verdict == Verdict.FAIL


def test_a_tier_that_is_down_does_not_kill_the_canary_and_no_backup_is_no_pass(
    files_house: House,
) -> None:
    assert tomorrow(files_house).verdict == Verdict.INCONCLUSIVE
    make(files_house)
    files_house.raw["tiers"][1]["endpoint_url"] = "http://127.0.0.1:1"
    done = tomorrow(files_house)
    assert done.verdict == Verdict.PASS
    assert "not tried: tier off-site" in " ".join(done.notes)


def test_an_identity_file_with_a_broken_line_is_refused(tmp_path: Path) -> None:
    ensure_identity(tmp_path / "identity.txt")
    with (tmp_path / "identity.txt").open("a") as file:
        file.write("AGE-SECRET-KEY-1BROKEN\n")
    with pytest.raises(UsageError, match="a line is no age identity"):
        load_identity(tmp_path / "identity.txt")
