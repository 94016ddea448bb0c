"""Who works in a tier: leases that hold across hosts and on any server.

Each run announces itself by a small object of its own and then looks who else is there; who sees
somebody it cannot work beside withdraws. Of two that come at once the later to look sees the
other, so both never go on, and the server needs nothing but a listing that shows what was written
(a conditional put would do with one object, but servers such as rclone ignore the condition).

`<subject>/lock/<exclusive|shared>-<ULID>-<lease seconds>.json`: empty once it was given back. Its
age is told by the tier's clock alone. No process is asked whether it lives: a process id may have
been given to another one, so a dead holder's lease ends by time.
"""

import json
import os
import random
import re
import socket
import threading
import time
from types import TracebackType

from backup.errors import TierError
from backup.tiers.tier import Entry, Tier
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import BackupError, BusyError
from storewatch.core.evidence import new_id

FOLDER = "lock"
LEASE_S = 300
_SAFE = 0.7  # of its lease a holder trusts; the rest is for a slow request
_NAME = re.compile(r"(exclusive|shared)-([0-9A-Z]{26})-(\d+)\.json")
_POLL_S = 1.0


class LeaseLostError(BackupError):
    """A lease could not be renewed in time; somebody else may be at work now."""


class Lease:
    """The right to work in a tier, for one run.

    Args:
        tier: where.
        subject: whose part of it.
        purpose: in words, for whoever waits.
        exclusive: nobody beside us (a prune); otherwise only no exclusive one (backup, sync).
        lease_s: seconds after which a holder that was not heard of counts as dead.
        patience_s: how long to wait for others.
    """

    def __init__(
        self,
        tier: Tier,
        subject: str,
        purpose: str,
        *,
        exclusive: bool,
        lease_s: int = LEASE_S,
        patience_s: float = 0.0,
    ) -> None:
        self._tier, self._prefix = tier, f"{subject}/{FOLDER}/"
        self._exclusive, self._lease_s, self._patience_s = exclusive, lease_s, patience_s
        self.token = new_id()
        kind = "exclusive" if exclusive else "shared"
        self.key = f"{self._prefix}{kind}-{self.token}-{lease_s}.json"
        self._content = json.dumps(
            {
                "purpose": purpose,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since": rfc3339(utc_now()),
            }
        ).encode()
        self._renewed_s = 0.0
        self._lost = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Take it.

        Raises:
            BusyError: somebody else has it.
            TierError: the tier cannot be written.
        """
        deadline = time.monotonic() + self._patience_s
        tries = 3
        while True:
            self._announce()
            try:
                holder = self._conflict()
            except BaseException:
                self._withdraw()
                raise
            if holder is None:
                break
            self._withdraw()
            tries -= 1
            if tries <= 0 and time.monotonic() > deadline:
                raise BusyError(f"tier {self._tier.name}: {self._describe(holder)}")
            # Two that withdrew from each other must not come back together.
            self._end.wait(_POLL_S * random.random())
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        self._end.set()
        self._thread.join()
        self._withdraw()

    def check(self) -> None:
        """Make sure that it is still ours; to be called before anything that cannot be undone.

        Raises:
            LeaseLostError: it may be somebody else's by now.
        """
        if not self._lost and _now_s() - self._renewed_s > _SAFE * self._lease_s:
            self._lost = f"not renewed for {_now_s() - self._renewed_s:.0f} s"
        if self._lost:
            raise LeaseLostError(
                f"tier {self._tier.name}: our lease {self.token} is lost ({self._lost}); stopped"
            )

    def _announce(self) -> None:
        begun = _now_s()
        self._tier.mark(self.key, self._content)
        self._renewed_s = begun

    def _withdraw(self) -> None:
        """Take the announcement back; where we may not delete, an empty one says the same."""
        try:
            if self._tier.refuse_to_delete():
                self._tier.mark(self.key, b"")
            else:
                self._tier.delete(self.key)
        except TierError:
            return  # it ends by time

    def _conflict(self) -> Entry | None:
        now = self._tier.now()
        for entry in self._tier.entries(self._prefix):
            match = _NAME.fullmatch(entry.key[len(self._prefix) :])
            if match is None or entry.key == self.key or entry.size_bytes == 0:
                continue
            alive = (now - entry.modified_at).total_seconds() <= int(match[3])
            if alive and (self._exclusive or match[1] == "exclusive"):
                return entry
        return None

    def _describe(self, holder: Entry) -> str:
        try:
            said = json.loads(b"".join(self._tier.read(holder.key)))
            return (
                f"{said['purpose']} is at work: pid {said['pid']} on {said['host']} since "
                f"{said['since']}; wait for it to end, or for its lease ({holder.key})"
            )
        except (BackupError, ValueError, KeyError, TypeError):
            return f"somebody is at work ({holder.key}); wait for it to end"

    def _renew(self) -> None:
        while not self._end.wait(self._lease_s / 4):
            try:
                self.check()
                self._announce()
            except LeaseLostError:
                return
            except BackupError:
                continue  # the lease goes on until `check` finds it too old


def clear_leases(tier: Tier, subject: str, older_than_s: float) -> None:
    """Remove what released and dead leases left behind.

    Raises:
        TierError: the tier cannot be written.
    """
    prefix, now = f"{subject}/{FOLDER}/", tier.now()
    for entry in tier.entries(prefix):
        match = _NAME.fullmatch(entry.key[len(prefix) :])
        lease_s = int(match[3]) if match else 0
        age_s = (now - entry.modified_at).total_seconds()
        if age_s > lease_s + older_than_s or (entry.size_bytes == 0 and age_s > lease_s):
            tier.delete(entry.key)


def _now_s() -> float:
    """Return seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
