"""Sealed WAL on its way to one tier: kept until the tier gave it back whole."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from backup.errors import DamagedError, TierError, one_line
from backup.tiers.tier import Tier
from backup.wal.archive import Archive, collect, refuse_other_system, systems_in
from backup.wal.names import FACTS, FOLDER, WalFile, prefix
from storewatch.core.errors import BackupError
from storewatch.store.files import sha256_file, sync_folder

_RETRY_S = (1.0, 60.0)  # the first pause, and the longest
_REFUSED = "refused"


class Outbox(threading.Thread):
    """Delivers one after another, oldest first, and tries again while the tier is down.

    Args:
        tier: where to.
        subject, system_identifier: of the keys.
        folder: pending files; hard links, so that each tier forgets its own.
        facts: content of the file that says what the archive is.
    """

    def __init__(
        self, tier: Tier, subject: str, system_identifier: str, folder: Path, facts: Path
    ) -> None:
        super().__init__(name=f"wal to {tier.name}", daemon=True)
        self.tier = tier
        self._subject = subject
        self._system = system_identifier
        self._folder = folder
        self._facts = facts
        self._wake = threading.Condition()
        self._stopping = False
        self.archive: Archive | None = None
        self.error = ""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self, sealed: Path, file: WalFile) -> None:
        """Keep a sealed file until the tier has it; known content is not sent again."""
        if not self._knows(file):
            os.link(sealed, self._folder / file.file)
            sync_folder(self._folder)
        with self._wake:
            self._wake.notify()

    def pending(self) -> list[Path]:
        """Return what the tier does not have yet, oldest first."""
        found = (path for path in self._folder.iterdir() if WalFile.parse(path.name))
        return sorted(found, key=_order)

    def refused(self) -> list[str]:
        """Return the names that the tier holds with other bytes."""
        folder = self._folder / _REFUSED
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def stop(self) -> None:
        """End after the file under way."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def contact(self) -> Archive:
        """List the tier once, and refuse another system's archive.

        Raises:
            TierError: the tier cannot be read or written.
            UsageError: it holds another system's WAL.
        """
        if self.archive is None:
            everything = f"{self._subject}/{FOLDER}/"
            facts = prefix(self._subject, self._system) + FACTS
            try:
                keys = self.tier.list(everything)
            except TierError:  # a folder tier is made by the first thing that is put
                self.tier.put(facts, self._facts, lambda _done: None)
                keys = self.tier.list(everything)
            systems = systems_in(keys, self._subject)
            refuse_other_system(self.tier.name, systems, self._system, self._subject)
            if facts not in keys:
                self.tier.put(facts, self._facts, lambda _done: None)
            start = prefix(self._subject, self._system)
            ours = [key for key in keys if key.startswith(start)]
            self.archive = collect(ours, start, self._system, f"tier {self.tier.name}: ")
        return self.archive

    def run(self) -> None:
        """Deliver until told to stop."""
        pause_s = _RETRY_S[0]
        while not self._stopping:
            try:
                self.contact()
                for path in self.pending():
                    if self._stopping:
                        return
                    self._deliver(path)
                self.error, pause_s = "", _RETRY_S[0]
            except Exception as error:  # noqa: BLE001 - said in the status; the others go on
                self.error = one_line(error)
                pause_s = min(2 * pause_s, _RETRY_S[1])
            with self._wake:
                failed = bool(self.error)
                if not self._stopping and (failed or not self.pending()):
                    self._wake.wait(pause_s if failed else 1.0)

    def _knows(self, file: WalFile) -> bool:
        known = self.archive.files.get(file.name) if self.archive else None
        if known is not None and known.plain_hash == file.plain_hash:
            return True
        start = f"{file.name}-"
        here = (WalFile.parse(p.name) for p in self._folder.iterdir() if p.name.startswith(start))
        return any(one is not None and one.plain_hash == file.plain_hash for one in here)

    def _deliver(self, path: Path) -> None:
        file = WalFile.parse(path.name)
        assert file is not None and self.archive is not None
        known = self.archive.files.get(file.name)
        if known is not None and known.plain_hash != file.plain_hash:
            self._refuse(path)
            return
        if known is None:
            self._put(file.key(self._subject, self._system), path)
            self.archive.add(file)
        path.unlink()
        sync_folder(self._folder)

    def _put(self, key: str, path: Path) -> None:
        self.tier.put(key, path, lambda _done: None)
        seen = hashlib.sha256()
        for chunk in self.tier.read(key):
            seen.update(chunk)
        if seen.hexdigest() != sha256_file(path):
            raise DamagedError(f"tier {self.tier.name}: {key} is not what was written")

    def _refuse(self, path: Path) -> None:
        folder = self._folder / _REFUSED
        folder.mkdir(exist_ok=True, mode=0o700)
        path.replace(folder / path.name)
        sync_folder(folder)


def _order(path: Path) -> tuple[bool, str, str]:
    """Histories first; then by position, whatever the timeline."""
    name = path.name
    return ".history" not in name, name[8:24], name


def open_outboxes(make: Callable[[Tier], Outbox], tiers: list[Tier]) -> dict[str, Outbox]:
    """Return one outbox for each tier, after those that answer were asked whose WAL they hold.

    Raises:
        UsageError: one holds another system's WAL.
    """
    outboxes = {tier.name: make(tier) for tier in tiers}
    for outbox in outboxes.values():
        try:
            outbox.contact()
        except BackupError as error:
            outbox.error = one_line(error)
    return outboxes
