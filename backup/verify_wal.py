"""Verify WAL in a tier: names that contradict each other, gaps, and bytes that changed.

A key of WAL carries the hash of the plain bytes, which only an identity can compare. Without one,
the sealed bytes are compared with what was read before, in this tier or in another one: all tiers
got the same file.
"""

import hashlib
import tempfile
from pathlib import Path

from backup.errors import DamagedError, DecryptionError
from backup.holdings import Holdings
from backup.keys import load_identity
from backup.progress import Progress
from backup.prune_wal import floors, segment_bytes
from backup.seal import CHUNK_BYTES
from backup.settings import BackupSettings
from backup.tiers.settings import RetentionSettings
from backup.tiers.tier import Tier
from backup.unseal import opened
from backup.verified import FOLDER, Reading, Verified
from backup.wal.archive import collect, find_gaps
from backup.wal.names import WalFile, prefix
from storewatch.core.clock import utc_now

_AGE = b"age-encryption.org/v1\n"


def wal_problems(settings: BackupSettings, tier: Tier, held: Holdings) -> list[str]:
    """Return what the listing alone shows to be wrong since the oldest base, one line each."""
    problems = []
    keys = [entry.key for entry in held.wal]
    everything = floors(held.manifests.values(), RetentionSettings(last=1), utc_now())
    for system, (floor, _base) in everything.items():
        start = prefix(settings.subject, system)
        archive = collect(keys, start, system, f"tier {tier.name}: ")
        problems += archive.problems
        if not archive.files:
            continue
        size = segment_bytes(tier, settings.subject, system)
        if size is None:
            problems.append(f"tier {tier.name}: {start} does not say how large its segments are")
            continue
        needed = [one for one in archive.segments(size) if one.number >= floor // size]
        problems += [
            f"tier {tier.name}: WAL of system {system} is missing between "
            f"{gap.after.name(size)} and {gap.before.name(size)}"
            for gap in find_gaps(needed)
        ]
    return problems


class WalCheck:
    """Reads WAL of one tier and compares it with all that is known of it.

    Args:
        settings: of the package.
        tier: where it lies.
        known: what was read of this tier before.
    """

    def __init__(self, settings: BackupSettings, tier: Tier, known: dict[str, Reading]) -> None:
        self._settings, self._tier, self._known = settings, tier, known
        others = (one.name for one in settings.tiers if one.name != tier.name)
        self._elsewhere = {name: Verified(settings.spool, name).load() for name in others}
        has_identity = settings.identity_file.exists()
        self._identity = load_identity(settings.identity_file) if has_identity else None

    def read(self, key: str, size_bytes: int, progress: Progress) -> str:
        """Read one file whole; return the SHA-256 of its sealed bytes.

        Raises:
            DamagedError: it is not what was written.
            TierError: the tier cannot be read.
        """
        seen, where = hashlib.sha256(), f"tier {self._tier.name}: {key}"
        folder = self._settings.spool / FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            for chunk in self._tier.read(key):
                seen.update(chunk)
                file.write(chunk)
                progress(f"verify {self._tier.name}: WAL", file.tell(), size_bytes)
            file.flush()
            if file.tell() != size_bytes:
                raise DamagedError(f"{where} is damaged: {file.tell()} of {size_bytes} bytes")
            file.seek(0)
            if file.read(len(_AGE)) != _AGE:
                raise DamagedError(f"{where} is damaged: it is no age file")
            self._compare(key, where, seen.hexdigest())
            self._open(key, where, Path(file.name))
        return seen.hexdigest()

    def _compare(self, key: str, where: str, sha256: str) -> None:
        before = self._known.get(key)
        if before is not None and before.sha256 != sha256:
            raise DamagedError(f"{where} is damaged: it changed since {before.at:%Y-%m-%d}")
        if self._identity is not None:
            return  # what is inside decides
        for name, readings in self._elsewhere.items():
            other = readings.get(key)
            if other is not None and other.sha256 != sha256:
                raise DamagedError(f"{where} is damaged here or in tier {name}: they differ")

    def _open(self, key: str, where: str, sealed: Path) -> None:
        """Compare the plain bytes with the hash in the key, where there is an identity."""
        if self._identity is None:
            return
        file = WalFile.parse(key.rsplit("/", 1)[-1])
        assert file is not None
        try:
            with sealed.open("rb") as stream, opened(stream, self._identity) as plain:
                while plain.read(CHUNK_BYTES):
                    pass
        except (DamagedError, DecryptionError) as error:
            raise DamagedError(f"{where} is damaged: {error}") from None
        if not plain.sha256.startswith(file.plain_hash):
            raise DamagedError(f"{where} is damaged: its plain bytes are not those of its name")
