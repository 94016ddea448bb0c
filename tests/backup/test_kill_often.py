"""A few rounds of the script that kills often, and a look at whether it would notice a loss."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from backup_house import House
from kill_often import Broken, Round, kill_often, prepare

from backup.backup import run_backup
from backup.catalogue import list_recovery_points
from backup.manifest import FILE_NAME
from backup.recovery.point_in_time import restore_to
from backup.restore import UNFINISHED
from storewatch.core.errors import UsageError
from storewatch.core.targets import Verdict


@pytest.fixture
def house_to_kill(files_house: House) -> House:
    return prepare(files_house, with_postgres=False, mebibytes=3)


def test_killed_at_random_moments_nothing_is_lost_and_the_next_run_works(
    house_to_kill: House,
) -> None:
    done = kill_often(house_to_kill, 3, seed=5)
    assert sum(done.killed.values()) + done.ended == 3
    assert sum(done.killed.values()) >= 1


def test_the_script_notices_a_part_that_looks_whole(house_to_kill: House) -> None:
    one = Round(house_to_kill, 1)
    one.run("backup", "local", None)
    assert one.whole()["local"]
    (point,) = list_recovery_points(house_to_kill.settings).points
    stored = house_to_kill.stored("local") / point.manifest.id
    next(path for path in stored.iterdir() if path.name != FILE_NAME).unlink()
    with pytest.raises(Broken, match="looks whole"):
        one.whole()


_RESTORE = """
import sys
from pathlib import Path
from backup.recovery.point_in_time import restore_to
from backup.settings import BackupSettings

settings = BackupSettings.model_validate_json(sys.stdin.readline())
def progress(label, done, total):
    print("began", flush=True)
    sys.stdin.read()
restore_to(settings, "local", Path(sys.argv[1]), progress=progress)
"""


def test_a_killed_restore_is_marked_and_its_folder_is_not_used_again(
    house_to_kill: House,
) -> None:
    settings, target = house_to_kill.settings, house_to_kill.home / "restored"
    assert run_backup(settings, house_to_kill.evidence).verdict == Verdict.PASS
    child = subprocess.Popen(
        [sys.executable, "-c", _RESTORE, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps(house_to_kill.raw, default=str) + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "began\n"
    child.kill()
    child.communicate()
    assert (target / UNFINISHED).exists()
    with pytest.raises(UsageError, match="holds a restore that was broken off"):
        restore_to(settings, "local", target)
    shutil.rmtree(target)
    restore_to(settings, "local", target)
    assert not (target / UNFINISHED).exists()
