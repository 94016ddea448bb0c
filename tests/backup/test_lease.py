"""Leases: who works in a tier, across hosts, with and without the right to delete."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from backup_engines import S3Server

from backup.tiers.folder import FolderTier
from backup.tiers.lease import Lease, LeaseLostError, clear_leases
from backup.tiers.s3 import S3Tier
from backup.tiers.settings import FolderTierSettings, S3TierSettings
from backup.tiers.tier import Tier
from storewatch.core.errors import BusyError
from storewatch.core.evidence import new_id


@pytest.fixture(params=["folder", "s3"])
def tier(
    request: pytest.FixtureRequest, tmp_path: Path, object_stores: tuple[S3Server, S3Server]
) -> Tier:
    if request.param == "folder":
        return folder(tmp_path)
    raw = object_stores[0].tier("x") | {"prefix": tmp_path.name.replace("_", "-")}
    return S3Tier(S3TierSettings.model_validate(raw))


def folder(home: Path) -> FolderTier:
    return FolderTier(FolderTierSettings(name="x", kind="folder", path=home / "tier"))


def lease(tier: Tier, *, exclusive: bool = True, lease_s: int = 60) -> Lease:
    return Lease(tier, "shop", "a test", exclusive=exclusive, lease_s=lease_s)


def test_a_prune_waits_for_nobody_and_says_who_is_there(tier: Tier) -> None:
    said = rf"a test is at work: pid {os.getpid()} on "
    with lease(tier, exclusive=False), pytest.raises(BusyError, match=said):
        lease(tier).__enter__()
    with lease(tier) as held:
        held.check()


def test_backups_work_beside_each_other_and_not_beside_a_prune(tier: Tier) -> None:
    with lease(tier, exclusive=False), lease(tier, exclusive=False):
        pass
    with lease(tier), pytest.raises(BusyError):
        lease(tier, exclusive=False).__enter__()


def test_a_lease_of_a_dead_holder_whose_pid_lives_again_ends_by_time_alone(tier: Tier) -> None:
    content = {"purpose": "a prune", "host": "h", "pid": os.getpid(), "since": "then"}
    tier.mark(f"shop/lock/exclusive-{new_id()}-2.json", json.dumps(content).encode())
    with pytest.raises(BusyError, match="a prune is at work"):
        lease(tier).__enter__()
    with Lease(tier, "shop", "a test", exclusive=True, patience_s=20) as held:
        held.check()


def test_a_holder_that_slept_through_its_lease_does_nothing_more(tmp_path: Path) -> None:
    tier = folder(tmp_path)
    late = lease(tier, lease_s=1)
    late._renew = lambda: None  # type: ignore[method-assign]  # as when the process is stopped
    late._thread = threading.Thread(target=late._renew)
    with late:
        other = Lease(tier, "shop", "another", exclusive=True, patience_s=20)
        with other, pytest.raises(LeaseLostError, match="not renewed"):
            late.check()
        with pytest.raises(LeaseLostError):
            late.check()


def test_a_lease_is_renewed_as_long_as_its_holder_lives(tier: Tier) -> None:
    with lease(tier, lease_s=2) as held, pytest.raises(BusyError):
        Lease(tier, "shop", "another", exclusive=True, patience_s=4).__enter__()
        held.check()


_MANY = """
import sys, random
from pathlib import Path
from backup.tiers.folder import FolderTier
from backup.tiers.lease import Lease
from backup.tiers.settings import FolderTierSettings
from storewatch.core.errors import BusyError
home = Path(sys.argv[1])
tier = FolderTier(FolderTierSettings(name="x", kind="folder", path=home / "tier"))
sys.stdin.readline()
taken = 0
for _ in range(15):
    try:
        with Lease(tier, "shop", "a test", exclusive=True, lease_s=30, patience_s=0.1):
            (home / "inside").mkdir()  # fails when somebody else is inside
            for _ in range(random.randrange(300)):  # others come at every moment of it
                (home / "inside").stat()
            (home / "inside").rmdir()
            taken += 1
    except BusyError:
        pass
print(taken)
"""


def test_of_several_processes_at_once_never_two_hold_it(tmp_path: Path) -> None:
    (tmp_path / "tier").mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _MANY, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    taken = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(taken) > 0


def test_what_is_left_of_leases_is_cleared(tmp_path: Path) -> None:
    tier = folder(tmp_path)
    tier.mark(f"shop/lock/shared-{new_id()}-0.json", b"")
    tier.mark(f"shop/lock/shared-{new_id()}-0.json", b"{}")
    tier.mark(f"shop/lock/shared-{new_id()}-99.json", b"{}")
    newest = max(entry.modified_at for entry in tier.entries("shop/lock/"))
    while tier.now() <= newest:  # a tick of the tier's clock
        pass
    clear_leases(tier, "shop", 0)
    assert len(tier.list("shop/lock/")) == 1


def test_the_lease_of_a_killed_process_ends_by_time(tmp_path: Path) -> None:
    (tmp_path / "tier").mkdir()
    code = _MANY.replace('(home / "inside").mkdir()', 'print("in", flush=True); sys.stdin.read()')
    code = code.replace("lease_s=30", "lease_s=2")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"in\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with pytest.raises(BusyError):
        lease(folder(tmp_path)).__enter__()
    with Lease(folder(tmp_path), "shop", "next", exclusive=True, patience_s=20) as held:
        held.check()
