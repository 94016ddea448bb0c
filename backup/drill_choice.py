"""Which copy a scheduled drill restores: the newest once a day, else any copy of any tier."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from backup.catalogue import list_recovery_points
from backup.settings import BackupSettings
from storewatch.core.errors import BackupError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

NEWEST = "the newest of the day"
_KINDS = ("full", "incremental")


@dataclass(frozen=True, slots=True)
class Choice:
    """A copy and why it was chosen."""

    tier: str
    identifier: str
    why: str


def choose(
    settings: BackupSettings, drills: Iterable[Evidence], now: datetime, chance: random.Random
) -> Choice:
    """Choose a copy of the database.

    The tier is any that holds the recovery point. The newest recovery point is chosen until a
    drill of it has passed today (UTC), then any: a copy that nobody ever restores may be lost.

    Raises:
        BackupError: no tier holds any.
    """
    points = [
        point
        for point in list_recovery_points(settings).points
        if point.manifest.kind in _KINDS and point.tiers
    ]
    if not points:
        raise BackupError(
            f"no tier holds a recovery point of {settings.subject}; run `storewatch backup run`"
        )
    seen = any(
        one.verdict is Verdict.PASS
        and one.started_at.date() == now.date()
        and any(NEWEST in note for note in one.notes)
        for one in drills
    )
    point = chance.choice(points) if seen else points[0]
    why = "any of all" if seen else NEWEST
    return Choice(chance.choice(point.tiers), point.manifest.id, why)
