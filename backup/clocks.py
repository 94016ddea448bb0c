"""Whether the time can be trusted enough to delete by it.

The clock of this host is compared with what cannot move along with it: the tier's own clock, the
times in the manifests, the time that passed since the last look. Any doubt is a reason to wait.
"""

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from backup.manifest import Manifest
from backup.retention import id_time
from storewatch.core.clock import parse_rfc3339, rfc3339
from storewatch.store.files import write_atomic

TOLERANCE = timedelta(minutes=5)
_SILENCE = timedelta(days=2)
_SILENCE_FACTOR = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """A moment at which the clock was trusted.

    Attributes:
        wall: of the clock.
        boot: which start of the machine.
        since_boot_s: seconds since then, suspended or not.
    """

    wall: str
    boot: str
    since_boot_s: float


def present(now: datetime) -> Seen:
    """Return the present moment as the machine itself counts it.

    Source: proc(5), /proc/sys/kernel/random/boot_id; clock_gettime(2), CLOCK_BOOTTIME.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    identifier = boot.read_text().strip() if boot.exists() else ""
    return Seen(rfc3339(now), identifier, time.clock_gettime(time.CLOCK_BOOTTIME))


def load_seen(file: Path) -> Seen | None:
    """Read the last trusted moment; None when there is none."""
    try:
        return Seen(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def save_seen(file: Path, seen: Seen) -> None:
    """Keep a moment that was found good."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(file, json.dumps(asdict(seen)).encode(), mode=0o600)


def clock_doubts(
    current: Seen, last: Seen | None, tier_now: datetime, captured: Iterable[datetime]
) -> list[str]:
    """Return why this host's clock cannot be trusted, one line each; none when it can.

    Args:
        current: now.
        last: when the clock was last trusted.
        tier_now: by the tier's clock.
        captured: times of the recovery points.
    """
    now = parse_rfc3339(current.wall)
    doubts = []
    if abs(now - tier_now) > TOLERANCE:
        doubts.append(f"this host's clock says {current.wall}, the tier's {rfc3339(tier_now)}")
    if last is not None:
        passed = now - parse_rfc3339(last.wall)
        if passed < -TOLERANCE:
            doubts.append(f"the clock says {current.wall}, and was at {last.wall} already")
        elif current.boot and current.boot == last.boot:
            really = timedelta(seconds=current.since_boot_s - last.since_boot_s)
            if abs(passed - really) > TOLERANCE:
                doubts.append(
                    f"the clock moved by {passed} since {last.wall}, and {really} have passed"
                )
    return doubts + _silence(now, sorted(captured))


def _silence(now: datetime, captured: Sequence[datetime]) -> list[str]:
    """Doubt a clock by which backups have ceased: it leapt, or there is nothing new to rely on."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(captured)]
    if not gaps:
        return []
    longest = max(_SILENCE, _SILENCE_FACTOR * max(gaps))
    if now - captured[-1] <= longest:
        return []
    return [
        f"the newest recovery point is of {rfc3339(captured[-1])}; the clock leapt or backups have "
        "ceased, so nothing old is given up"
    ]


def manifest_doubts(manifest: Manifest, now: datetime) -> list[str]:
    """Return what contradicts itself in the times of a recovery point, one line each."""
    born = id_time(manifest.id)
    doubts = []
    if born is None:
        doubts.append(f"{manifest.id}: its id is no ULID")
    elif abs(born - manifest.started_at) > TOLERANCE:
        doubts.append(
            f"{manifest.id}: its id says {rfc3339(born)}, its manifest "
            f"{rfc3339(manifest.started_at)}"
        )
    if manifest.finished_at < manifest.started_at:
        doubts.append(f"{manifest.id}: it ended before it began")
    if manifest.finished_at > now + TOLERANCE:
        doubts.append(f"{manifest.id}: {rfc3339(manifest.finished_at)} is in the future")
    return doubts
