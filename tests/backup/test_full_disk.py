"""A disk that is full for real, on the spool and on a folder tier: old copies stay.

A child process gets a file system of a few megabytes in a mount namespace of its own; where the
system forbids that, a limit on the size of its files, which ends a write just as suddenly.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from backup_house import House

from backup.backup import run_backup
from backup.catalogue import list_recovery_points
from storewatch.core.targets import Verdict

_SMALL_DISK = (
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=7m tmpfs "$0" && exec "$@"',
)
_CHILD = """
import json, os, resource, sys
from pathlib import Path
from backup.backup import run_backup
from backup.catalogue import list_recovery_points, verify
from backup.settings import BackupSettings
from storewatch.store.evidence import EvidenceStore

settings = BackupSettings.model_validate_json(sys.stdin.readline())
home, limit = Path(sys.argv[1]), int(sys.argv[2])
evidence = EvidenceStore(home)
big = settings.sources.files[0].path / "big.bin"
_soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def run():
    made = run_backup(settings, evidence)
    return made.verdict, " ".join(made.notes)

def state():
    points = list_recovery_points(settings).points
    whole = [not verify(settings, t, p.manifest.id)[1] for p in points for t in p.tiers]
    return [list(p.tiers) for p in points], all(whole)

said = {"before": run()}
big.write_bytes(os.urandom(12 << 20))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit or hard, hard))
said["full"] = run()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
said["state"] = state()
said["left"] = [str(p) for p in home.rglob(".incoming-*")]
said["spool"] = [p.name for p in settings.spool.iterdir() if len(p.name) == 26]
big.unlink()
said["after"] = run()
print(json.dumps(said))
"""


@pytest.fixture(autouse=True)
def no_reserve(files_house: House) -> None:
    files_house.raw["minimum_free_bytes"] = 0
    files_house.raw["tiers"].pop()
    (files_house.home / "small").mkdir()


def small_disks_work(folder: Path) -> bool:
    """Tell whether this system lets us mount a small file system in a namespace."""
    try:
        return subprocess.run([*_SMALL_DISK, folder, "true"], check=False).returncode == 0
    except FileNotFoundError:
        return False


def run_on(house: House) -> tuple[Any, bool]:
    """Run the child on the small disk, or with limited files; tell which."""
    small = house.home / "small"
    real = small_disks_work(small)
    words = [sys.executable, "-c", _CHILD, str(house.home), "0" if real else str(2 << 20)]
    done = subprocess.run(
        [*_SMALL_DISK, str(small), *words] if real else words,
        input=json.dumps(house.raw, default=str) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return json.loads(done.stdout), real


def test_a_full_spool_is_a_failed_backup_and_the_copies_before_stay(files_house: House) -> None:
    files_house.raw["spool"] = files_house.home / "small" / "spool"
    said, _real = run_on(files_house)
    assert said["before"][0] == "PASS"
    assert said["full"][0] == "FAIL"
    assert "No space left on device" in said["full"][1] or "File too large" in said["full"][1]
    assert said["state"] == [[["local", "off-site"]], True]
    assert (said["left"], said["spool"]) == ([], [])
    assert said["after"][0] == "PASS"


def test_a_full_folder_tier_is_degraded_and_the_copies_before_stay(files_house: House) -> None:
    files_house.raw["tiers"][0]["path"] = files_house.home / "small" / "local"
    said, real = run_on(files_house)
    assert said["before"][0] == "PASS"
    assert said["full"][0] == "FAIL"
    if real:
        assert "degraded: tier local" in said["full"][1]
        assert said["state"] == [[["off-site"], ["local", "off-site"]], True]
    assert (said["left"], said["spool"]) == ([], [])
    assert said["after"][0] == "PASS"


def test_a_disk_that_would_be_too_full_is_refused_before(files_house: House) -> None:
    assert run_backup(files_house.settings, files_house.evidence).verdict == Verdict.PASS
    files_house.raw["minimum_free_bytes"] = 10**15
    files_house.raw["spool"] = files_house.home / "other"
    with pytest.raises(Exception, match="must stay free"):
        run_backup(files_house.settings, files_house.evidence)
    assert len(list_recovery_points(files_house.settings).points) == 1
