"""When each object of a tier was last read back whole: lines that are only ever appended.

`<spool>/state/verified-<tier>.jsonl`. A line that a crash cut is passed over. Whoever loses the
file loses no safety: objects count as not verified, and what the evidence of verifications lists
is taken from there again.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from storewatch.core.clock import parse_rfc3339, rfc3339
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import write_atomic

FOLDER = "state"
ARTEFACT = "verified.jsonl"


@dataclass(frozen=True, slots=True)
class Reading:
    """One object, read back whole.

    Attributes:
        sha256: of the sealed bytes, as they were read.
        at: when.
    """

    key: str
    sha256: str
    at: datetime

    def line(self) -> str:
        """Return it as a line of the file."""
        return json.dumps({"key": self.key, "sha256": self.sha256, "at": rfc3339(self.at)}) + "\n"

    @classmethod
    def parse(cls, line: str) -> "Reading | None":
        """Read a line; None when it is cut."""
        try:
            members = json.loads(line)
            return cls(members["key"], members["sha256"], parse_rfc3339(members["at"]))
        except (ValueError, KeyError, TypeError):
            return None


class Verified:
    """The readings of one tier.

    Args:
        spool: of the settings.
        tier: its name.
    """

    def __init__(self, spool: Path, tier: str) -> None:
        self._file = spool / FOLDER / f"verified-{tier}.jsonl"

    def add(self, readings: Iterable[Reading]) -> None:
        """Append readings; other processes may do so at the same time."""
        with self._locked() as file:
            file.write("".join(reading.line() for reading in readings))

    def load(self) -> dict[str, Reading]:
        """Return the newest reading by key."""
        try:
            lines = self._file.read_text().splitlines()
        except FileNotFoundError:
            return {}
        return newest(reading for line in lines if (reading := Reading.parse(line)))

    def rebuild(self, evidence: EvidenceStore, tier: str) -> None:
        """Take readings from the evidence of verifications when our own file is lost."""
        if self._file.exists():
            return
        for one in evidence.list("verify", tier):
            artefact = evidence.folder(one) / ARTEFACT
            if artefact.exists():
                lines = artefact.read_text().splitlines()
                self.add(reading for line in lines if (reading := Reading.parse(line)))

    def forget_all_but(self, keys: set[str]) -> None:
        """Drop the readings of objects that are gone, and all but the newest of each."""
        with self._locked():
            kept = [reading.line() for key, reading in self.load().items() if key in keys]
            write_atomic(self._file, "".join(kept).encode(), mode=0o600)

    @contextmanager
    def _locked(self) -> Iterator[TextIO]:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._file.open("a") as file:
                yield file


def newest(readings: Iterable[Reading]) -> dict[str, Reading]:
    """Return the newest reading by key."""
    found: dict[str, Reading] = {}
    for reading in readings:
        known = found.get(reading.key)
        if known is None or known.at <= reading.at:
            found[reading.key] = reading
    return found
