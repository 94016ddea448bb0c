"""Bring to a tier the WAL that it lacks for the base backups it holds."""

import hashlib
from collections.abc import Sequence

from backup.carry import Carrier
from backup.catalogue import tier_settings
from backup.errors import DamagedError, TierError, one_line
from backup.holdings import Holdings
from backup.prune_wal import floors, segment_bytes
from backup.settings import BackupSettings
from backup.tiers.settings import RetentionSettings
from backup.tiers.tier import Entry, Tier
from backup.verified import Verified
from backup.wal.names import FACTS, Segment, WalFile, is_segment, prefix
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError

_AGE = b"age-encryption.org/v1\n"
_EVERYTHING = RetentionSettings(last=1)


def sync_wal(
    settings: BackupSettings,
    target: Tier,
    mine: Holdings,
    others: Sequence[tuple[Tier, Holdings]],
    carrier: Carrier,
) -> None:
    """Copy WAL from the oldest base of the tier on; other bytes under a known name are named.

    Raises:
        TierError: the tier cannot be written.
    """
    policy = tier_settings(settings, target.name).retention or _EVERYTHING
    needed = floors(mine.manifests.values(), policy, utc_now())
    there = {entry.key for entry in mine.wal}
    hashes = {file.name: file.plain_hash for key in there if (file := _file(key))}
    for source, theirs in others:
        known = Verified(settings.spool, source.name).load()
        for entry in _lacking(settings.subject, source, theirs.wal, needed):
            file = _file(entry.key)
            if entry.key in there or (file and hashes.get(file.name) == file.plain_hash):
                continue
            if file and file.name in hashes:
                carrier.done.differing.append(
                    f"WAL {file.name} has other bytes in tier {source.name} than in {target.name}"
                )
                continue
            try:
                recorded = known.get(entry.key)
                _copy(carrier, source, entry, recorded.sha256 if recorded else "")
            except TierError:
                raise
            except BackupError as error:
                carrier.forget(entry.key)
                carrier.done.lacking.append(one_line(error))
                continue
            there.add(entry.key)
            if file:
                hashes[file.name] = file.plain_hash


def _lacking(
    subject: str, source: Tier, entries: Sequence[Entry], needed: dict[str, tuple[int, str]]
) -> list[Entry]:
    """Return what a tier may need of another one's archive, what describes it first."""
    found = []
    for system, (floor, _base) in needed.items():
        start = prefix(subject, system)
        size = segment_bytes(source, subject, system)
        ours = [entry for entry in entries if entry.key.startswith(start)]
        if size is None:
            continue
        found += [entry for entry in ours if entry.key == start + FACTS]
        for entry in ours:
            file = _file(entry.key)
            if file and (
                not is_segment(file.name) or Segment.parse(file.name, size).number >= floor // size
            ):
                found.append(entry)
    return found


def _copy(carrier: Carrier, source: Tier, entry: Entry, recorded: str) -> None:
    """Carry one file; it must be what was read before, and be read back as it was fetched."""
    fetched, sha256 = carrier.fetch(source, entry.key, entry.size_bytes)
    with fetched.open("rb") as file:
        sealed = file.read(len(_AGE)) == _AGE or entry.key.endswith(FACTS)
    if not sealed or fetched.stat().st_size != entry.size_bytes or recorded not in ("", sha256):
        raise DamagedError(f"tier {source.name}: {entry.key} is damaged; it is not copied")
    carrier.put(entry.key, fetched)
    back = hashlib.sha256(b"".join(carrier.target.read(entry.key))).hexdigest()
    if back != sha256:
        raise DamagedError(f"tier {carrier.target.name}: {entry.key} is not what was written")


def _file(key: str) -> WalFile | None:
    return WalFile.parse(key.rsplit("/", 1)[-1])
