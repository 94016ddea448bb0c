"""What the archiver's status says, worked out from what it knows."""

from collections.abc import Mapping
from datetime import datetime

from backup.parents import Parents
from backup.settings import BackupSettings
from backup.wal.archive import Archive, Gap, find_gaps
from backup.wal.names import PAGE_HEADER_BYTES, Segment, WalFile, is_segment, parse_lsn
from backup.wal.outbox import Outbox
from backup.wal.position import Position
from backup.wal.primary import Reading
from backup.wal.status import TierStatus, WalStatus
from storewatch.core.clock import rfc3339, utc_now


def report(
    status: WalStatus,
    settings: BackupSettings,
    position: Position,
    outboxes: Mapping[str, Outbox],
    seen: Reading | None,
) -> None:
    """Bring the status up to date.

    Args:
        status: is changed.
        settings: of the package.
        position: what was sealed.
        outboxes: of the tiers.
        seen: the newest reading of the primary.
    """
    size = position.segment_bytes
    status.system_identifier = position.system_identifier
    if position.last is not None:
        status.last_segment = position.last.name(size)
        status.last_segment_at = position.at
    receiving = status.state == "receiving" and seen is not None
    now = seen.at if receiving and seen else utc_now()
    same = position.last is not None and position.last.timeline == status.timeline
    idle = receiving and same and seen is not None and _all_sealed(seen, position)
    known: set[Segment] = set()
    for name, outbox in outboxes.items():
        status.tiers[name] = _tier(outbox, position, seen, now, idle=idle)
        known.update(_segments(outbox, size))
    gaps = find_gaps(known)
    status.gaps = [_gap(one, size) for one in gaps]
    status.base_backup_needed = _needs_base(gaps, settings, size)


def _all_sealed(seen: Reading, position: Position) -> bool:
    """Tell whether no transaction wrote behind the last sealed segment."""
    last = position.last
    at_start = last and seen.position <= last.end(position.segment_bytes) + PAGE_HEADER_BYTES
    return bool(at_start) or seen.next_transaction == position.next_transaction


def _segments(outbox: Outbox, size: int) -> set[Segment]:
    pending = (WalFile.parse(path.name) for path in outbox.pending())
    names = {one.name for one in pending if one is not None}
    if outbox.archive is not None:
        names.update(outbox.archive.files)
    return {Segment.parse(name, size) for name in names if is_segment(name)}


def _gap(gap: Gap, size: int) -> dict[str, object]:
    return {
        "timeline": gap.before.timeline,
        "after": gap.after.name(size),
        "before": gap.before.name(size),
    }


def _needs_base(gaps: list[Gap], settings: BackupSettings, size: int) -> bool:
    """Tell whether a gap lies behind the newest base backup."""
    newest = Parents(settings.spool).newest()
    if newest is None:
        return True
    stop = parse_lsn(newest.stop_lsn)
    return any(
        gap.before.number * size > stop and gap.before.timeline >= newest.timeline for gap in gaps
    )


def _tier(
    outbox: Outbox, position: Position, seen: Reading | None, now: datetime, *, idle: bool
) -> TierStatus:
    size = position.segment_bytes
    pending = outbox.pending()
    refused = outbox.refused()
    problems = outbox.archive.problems if outbox.archive else []
    error = outbox.error or (problems[0] if problems else "")
    if refused and not error:
        error = f"tier {outbox.tier.name} holds {refused[0]} with other bytes; ours is kept apart"
    found = TierStatus(
        pending_files=len(pending),
        pending_bytes=sum(path.stat().st_size for path in pending if path.exists()),
        degraded=bool(outbox.error or refused),
        error=error,
        refused=refused,
    )
    last = _last(outbox.archive, size)
    if last is None or outbox.archive is None:
        return found
    file = outbox.archive.of(last, size)
    assert file is not None
    found.last_segment, found.last_segment_at = file.name, rfc3339(file.ended_at)
    delivered = last == position.last
    behind_s = (now - file.ended_at).total_seconds()
    found.lag_s = 0.0 if delivered and idle else max(0.0, round(behind_s, 1))
    if seen is not None:
        found.lag_bytes = max(0, seen.position - last.end(size))
    return found


def _last(archive: Archive | None, size: int) -> Segment | None:
    """Return the newest segment of the newest timeline."""
    segments = archive.segments(size) if archive and size else []
    return max(segments, key=lambda one: (one.timeline, one.number), default=None)
