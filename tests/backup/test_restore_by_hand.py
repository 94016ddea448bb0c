"""A person restores with common programs, after the documented layout and without storewatch."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from cluster import programs, run
from loopback import free_port
from wal_house import WalHouse, archiving

from backup.backup import run_backup
from storewatch.core.targets import Verdict
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user
from storewatch.tools import find_program

SCRIPT = Path(__file__).with_name("restore_by_hand.sh")


def test_a_chain_its_wal_and_the_files_restore_without_storewatch(wal_house: WalHouse) -> None:
    images = wal_house.home / "images"
    images.mkdir()
    (images / "1.svg").write_text("<svg/>")
    wal_house.raw["sources"]["files"] = [{"name": "images", "path": images}]
    with archiving(wal_house):
        for number in (1, 2):
            wal_house.primary.mark(number)
            made = run_backup(wal_house.settings, wal_house.evidence)
            assert made.verdict == Verdict.PASS, made.notes
        wal_house.primary.mark(3)
        wal_house.archived_until_now()
    target, port = restored(wal_house)
    bin_folder = programs(wal_house.primary.home)
    try:
        words = ["-h", target, "-p", port, "-U", "postgres", "-d", "shop", "-Atc"]
        rows = run(bin_folder / "psql", *words, "SELECT n FROM marks ORDER BY n")
    finally:
        run(bin_folder / "pg_ctl", "-D", target / "postgres", "-m", "immediate", "stop")
    assert rows.split() == ["1", "2", "3"]
    assert (target / "files-images" / "1.svg").read_text() == "<svg/>"


def restored(house: WalHouse) -> tuple[Path, int]:
    """Run the script as the account of the servers, far from our code; return folder and port."""
    mine = house.home / "by-hand"
    mine.mkdir()
    shutil.copytree(house.home / "local", mine / "tier")
    shutil.copy(house.home / "identity.txt", mine / "identity.txt")
    tools = mine / "bin"
    tools.mkdir()
    for name in ("age", "zstd"):
        shutil.copy(find_program(name), tools / name)
    shutil.copy(SCRIPT, mine / "restore.sh")
    own(mine, unprivileged_user())
    target, port = mine / "restored", free_port()
    places = [str(tools), str(programs(house.primary.home)), os.defpath]
    assert sysconfig.get_path("scripts") not in places
    done = subprocess.run(
        [
            "sh",
            mine / "restore.sh",
            mine / "tier" / "shop",
            mine / "identity.txt",
            target,
            str(port),
        ],
        env={"PATH": os.pathsep.join(places)},
        cwd=mine,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **demote_kwargs(unprivileged_user()),
    )
    assert done.returncode == 0, done.stderr
    return target, port
