"""Kill backup, prune, sync and restore at random moments, and see that nothing was lost.

`python -m tests.backup.kill_often --times 50 --seed 1` from the root of the repository; with
`--postgres`, backups are of a running PostgreSQL, too. Ends with 1 and the seed when a check fails.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.extend(map(str, Path(__file__).parents[:2]))

from backup_engines import S3Server, postgres, redis_server, remove
from backup_house import House, build, names
from loopback import free_port

from backup.catalogue import verify
from backup.holdings import read_holdings
from backup.prune_plan import make_plan
from backup.restore import UNFINISHED
from backup.tiers.registry import open_tier
from storewatch.core.clock import utc_now

ROOT = Path(__file__).parents[2]
LEASE_S = 3
WORK = ("backup", "prune", "restore", "sync")
_CHILD = f"""
import sys
from pathlib import Path
from backup.tiers import lease
lease.LEASE_S = {LEASE_S}
lease.Lease.__init__.__kwdefaults__["lease_s"] = {LEASE_S}
from backup.backup import run_backup
from backup.prune import prune
from backup.recovery.point_in_time import restore_to
from backup.settings import BackupSettings
from backup.sync import sync
from storewatch.store.evidence import EvidenceStore

settings = BackupSettings.model_validate_json(sys.stdin.readline())
work, tier, home, target = sys.argv[1:]
evidence = EvidenceStore(Path(home))
print("go", flush=True)
if work == "restore":
    restore_to(settings, tier, Path(target))
else:
    made = run_backup(settings, evidence) if work == "backup" else (
        prune(settings, tier, evidence) if work == "prune" else sync(settings, tier, evidence))
    print(made.verdict, "; ".join(made.notes), flush=True)
"""


class Broken(AssertionError):
    """A copy was lost, or a part of one looks whole."""


class Round:
    """One house, killed again and again."""

    def __init__(self, house: House, seed: int) -> None:
        self.house, self.random = house, random.Random(seed)
        self.took_s = dict.fromkeys(WORK, 1.0)
        self.killed = dict.fromkeys(WORK, 0)
        self.ended = 0

    def run(self, work: str, tier: str, kill_after_s: float | None) -> str:
        """Do one piece of work in a process of its own; kill it after so long."""
        target = self.house.home / "restored"
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, work, tier, str(self.house.home), str(target)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(self.house.raw, default=str) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "go\n"
        begun = time.monotonic()
        try:
            child.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            child.kill()
            self.killed[work] += 1
        said = child.communicate()[0].strip()
        if kill_after_s is None:
            self.took_s[work] = time.monotonic() - begun
        elif child.returncode >= 0:
            self.ended += 1
        return said

    def whole(self) -> dict[str, set[str]]:
        """Return the ids that each tier holds; every one that looks whole must be whole."""
        found = {}
        for tier in self.house.settings.tiers:
            held = read_holdings(
                open_tier(self.house.settings, tier.name), self.house.raw["subject"]
            )
            if held.damaged:
                raise Broken(f"damaged manifests: {held.damaged}")
            for identifier in held.manifests:
                problems = verify(self.house.settings, tier.name, identifier)[1]
                if problems:
                    raise Broken(f"{identifier} in {tier.name} looks whole: {problems}")
            found[tier.name] = set(held.manifests)
        return found

    def once(self) -> None:
        """Kill one piece of work, check, and see that the same work then does its job."""
        work = self.random.choice(WORK)
        tier = self.random.choice([tier.name for tier in self.house.settings.tiers])
        if work == "sync":
            self.lose(tier)
        before, may_go = self.whole(), self.may_go(tier) if work == "prune" else set()
        self.run(work, tier, self.random.uniform(0, 1.1) * self.took_s[work])
        after = self.whole()
        for name, ids in before.items():
            lost = ids - after[name] - (may_go if name == tier else set())
            if lost:
                raise Broken(f"killed {work}: {lost} lost in {name}")
        self.check_restored()
        if work == "prune":  # the others work beside a dead backup's lease
            threading.Event().wait(LEASE_S + 1.1)
        said = self.run(work, tier, None)
        if work != "restore" and not said.startswith("PASS"):
            raise Broken(f"the {work} after a killed {work}: {said}")
        if work == "restore" and not self.check_restored():
            raise Broken("the restore after a killed restore is not whole")
        self.whole()

    def lose(self, tier: str) -> None:
        """Take a recovery point out of a tier, for a sync to bring back."""
        ids = sorted(self.whole()[tier])
        if ids:
            opened = open_tier(self.house.settings, tier)
            for key in opened.list(f"{self.house.raw['subject']}/{ids[-1]}/"):
                opened.delete(key)

    def may_go(self, tier: str) -> set[str]:
        """Return what the retention of a tier does not want."""
        plan = make_plan(self.house.settings, open_tier(self.house.settings, tier))
        return {manifest.id for manifest in plan.going}

    def check_restored(self) -> bool:
        """Tell whether a restored folder looks whole; then it must be. Make room for the next."""
        target = self.house.home / "restored"
        shown = [path.name for path in target.glob("[!.]*")]
        looks_whole = bool(shown) and UNFINISHED not in shown
        if looks_whole and sorted(names(target / "files-images")) != sorted(
            names(self.house.shop.images)
        ):
            raise Broken("a part of a restore looks whole")
        shutil.rmtree(target, ignore_errors=True)
        return looks_whole


@contextmanager
def playground(home: Path, *, with_postgres: bool) -> Iterator[House]:
    """Start two S3 servers, and a database when it is wanted, over a folder."""
    with ExitStack() as stack:
        ports = (1, 1)
        if with_postgres:
            ports = (
                stack.enter_context(postgres(home)),
                stack.enter_context(redis_server(home)),
            )
        stores = []
        for name in ("off-site", "cloud"):
            store = S3Server(home / f"s3-{name}", free_port(), f"key-{name}", f"pw-{name}")
            store.start()
            stack.callback(store.stop)
            stores.append(store)
        folder = home / "house"
        folder.mkdir()
        yield prepare(build(folder, ports, (stores[0], stores[1])), with_postgres=with_postgres)


def prepare(house: House, *, with_postgres: bool, mebibytes: int = 12) -> House:
    """Give a house retention, credentials and something to copy."""
    if not with_postgres:
        house.raw["sources"] = {"files": house.raw["sources"]["files"]}
    for number in range(mebibytes):
        (house.shop.images / f"{number}.bin").write_bytes(random.randbytes(1 << 20))
    retention: dict[str, Any] = {"last": 3, "minimum": 1}
    for index, tier in enumerate(house.raw["tiers"]):
        tier["retention"] = retention
        if tier["kind"] == "s3":
            store = house.stores[index - 1]
            tier |= {"prune_access_key": store.prune_key, "prune_secret_key": store.secret_key}
            tier |= {"attempts": 3, "timeout": "60s"}  # a busy machine is not what we look for
    return house


def kill_often(house: House, times: int, seed: int) -> Round:
    """Run one of everything, then kill so often.

    Raises:
        Broken: a check failed.
    """
    one = Round(house, seed)
    for work in ("backup", "backup", "restore", "sync", "prune"):
        one.run(work, "local", None)
        shutil.rmtree(house.home / "restored", ignore_errors=True)
    for _ in range(times):
        one.once()
    return one


def main() -> int:
    """Read the command line; return 1 when a check failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with us
    home = Path(tempfile.mkdtemp(prefix="storewatch-kill-", dir="/var/tmp"))
    home.chmod(0o711)
    begun = utc_now()
    try:
        with playground(home, with_postgres=arguments.postgres) as house:
            done = kill_often(house, arguments.times, arguments.seed)
    except Broken as error:
        print(f"seed {arguments.seed}: {error}")  # noqa: T201 - the result of the script
        return 1
    finally:
        remove(home)
    took = timedelta(seconds=round((utc_now() - begun).total_seconds()))
    killed = ", ".join(f"{count} {work}" for work, count in done.killed.items())
    print(f"killed {killed}; {done.ended} had ended before; nothing lost; {took}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
