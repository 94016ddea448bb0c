"""Which WAL nobody needs any more: what lies before the base backups that stay."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from backup.manifest import LOGICAL, Manifest
from backup.tiers.settings import RetentionSettings
from backup.tiers.tier import Entry, Tier
from backup.wal.names import FACTS, Segment, WalFile, is_segment, parse_lsn, prefix
from storewatch.core.errors import BackupError


def segment_bytes(tier: Tier, subject: str, system: str) -> int | None:
    """Return the segment size of an archive; None when it does not say."""
    try:
        facts = json.loads(b"".join(tier.read(prefix(subject, system) + FACTS)))
        return int(facts["wal_segment_bytes"])
    except (BackupError, ValueError, KeyError, TypeError):
        return None


def floors(
    kept: Iterable[Manifest], policy: RetentionSettings, now: datetime
) -> dict[str, tuple[int, str]]:
    """Return by system the position before which no WAL is needed, and the base it belongs to.

    Args:
        kept: the recovery points that stay.
        policy: of the tier.
        now: the present moment.
    """
    bases: dict[str, list[Manifest]] = {}
    for one in sorted(kept, key=lambda manifest: manifest.finished_at):
        facts = one.sources.get("postgres", {})
        if one.kind != LOGICAL and "start_lsn" in facts and "system_identifier" in facts:
            bases.setdefault(facts["system_identifier"], []).append(one)
    found = {}
    for system, ordered in bases.items():
        first = ordered[0]
        if policy.point_in_time is not None:
            begin = now - timedelta(seconds=policy.point_in_time)
            first = next((one for one in reversed(ordered) if one.finished_at <= begin), first)
        needed = [one for one in ordered if one.finished_at >= first.finished_at]
        # A promotion can set a later base before an earlier one: the least position counts.
        least = min(needed, key=lambda one: parse_lsn(one.sources["postgres"]["start_lsn"]))
        found[system] = (parse_lsn(least.sources["postgres"]["start_lsn"]), first.id)
    return found


def needless(
    entries: Sequence[Entry], tier: Tier, subject: str, needed_from: dict[str, tuple[int, str]]
) -> tuple[list[Entry], list[str]]:
    """Return the segments before the floors, and what could not be judged, one line each.

    Timelines do not matter: positions rise through a promotion, and no kept base begins before its
    floor. History files are small and stay.
    """
    gone, unclear = [], []
    systems: dict[str, list[Entry]] = {}
    for entry in entries:
        systems.setdefault(entry.key.split("/")[2], []).append(entry)
    for system, files in systems.items():
        if system not in needed_from:
            unclear.append(
                f"WAL of system {system} has no base backup in tier {tier.name}; left alone"
            )
            continue
        size = segment_bytes(tier, subject, system)
        if size is None:
            unclear.append(f"WAL of system {system} in tier {tier.name} has no {FACTS}; left alone")
            continue
        floor = needed_from[system][0] // size
        for entry in files:
            file = WalFile.parse(entry.key.rsplit("/", 1)[-1])
            if file and is_segment(file.name) and Segment.parse(file.name, size).number < floor:
                gone.append(entry)
    return gone, unclear
