"""What a tier keeps: decided from values alone, so that it can be read, listed and tested.

Source: the rules by period are those of restic's `forget --keep-*`: of each of the last so many
periods that have a recovery point, the newest one stays.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from backup.manifest import LOGICAL, Manifest
from backup.tiers.settings import RetentionSettings

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_DIGITS, _TIME_DIGITS = 26, 10
_PERIODS: dict[str, tuple[str, Callable[[datetime], str]]] = {
    "daily": ("day", lambda at: f"{at:%Y-%m-%d}"),
    "weekly": ("week", lambda at: f"{at:%G-W%V}"),
    "monthly": ("month", lambda at: f"{at:%Y-%m}"),
    "yearly": ("year", lambda at: f"{at:%Y}"),
}


@dataclass(frozen=True, slots=True)
class Point:
    """What retention needs to know of a recovery point.

    Attributes:
        at: when its capture was finished, as the manifest says.
        complete: nothing is missing from it.
        pinned: why it must stay, empty when it need not.
        immutable_until: the tier itself refuses to delete it before.
    """

    id: str
    at: datetime
    kind: str
    parent: str = ""
    complete: bool = True
    pinned: str = ""
    immutable_until: datetime | None = None

    @classmethod
    def of(
        cls, manifest: Manifest, pinned: str = "", immutable_until: datetime | None = None
    ) -> "Point":
        """Take it from a manifest."""
        at, complete = manifest.finished_at.astimezone(UTC), not manifest.problems
        return cls(
            manifest.id, at, manifest.kind, manifest.parent, complete, pinned, immutable_until
        )


@dataclass(slots=True)
class Judgement:
    """Whether a recovery point stays, and why.

    Attributes:
        reasons: one line each; without any it goes.
        until: before this moment it stays for sure; None when no rule names one.
    """

    point: Point
    reasons: list[str] = field(default_factory=list)
    until: datetime | None = None

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)

    def keep(self, reason: str, until: datetime | None = None) -> None:
        """Add a reason, and a moment when it names one."""
        self.reasons.append(reason)
        if until is not None:
            self.until = until if self.until is None else max(until, self.until)


def id_time(identifier: str) -> datetime | None:
    """Return the moment in a ULID; None when it is none.

    Source: the ULID specification: the first ten digits are milliseconds since 1970.
    """
    if len(identifier) != _ULID_DIGITS or set(identifier) - set(_CROCKFORD):
        return None
    unix_ms = 0
    for digit in identifier[:_TIME_DIGITS]:
        unix_ms = unix_ms << 5 | _CROCKFORD.index(digit)
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def chain(point: Point, known: dict[str, Point]) -> list[Point] | None:
    """Return a recovery point and what it builds on, up to the full one; None when one is missing.

    Args:
        point: where to begin.
        known: all recovery points by id.
    """
    links = [point]
    while links[-1].parent:
        parent = known.get(links[-1].parent)
        if parent is None or parent in links:
            return None
        links.append(parent)
    return links


def judge(
    points: Iterable[Point], policy: RetentionSettings | None, now: datetime
) -> dict[str, Judgement]:
    """Decide what stays.

    Logical dumps are judged by themselves: they are another kind of copy and take no place of a
    base backup. Partial and unusable ones take nobody's place either.

    Args:
        points: all of a tier.
        policy: of the tier; None keeps everything.
        now: the present moment.

    Returns:
        a judgement by id, oldest first.
    """
    ordered = sorted(points, key=lambda point: (point.at, point.id))
    known = {point.id: point for point in ordered}
    judged = {point.id: Judgement(point) for point in ordered}
    if policy is None:
        for one in judged.values():
            one.keep("all stay here")
    else:
        for logical in (False, True):
            _rules(
                [p for p in ordered if (p.kind == LOGICAL) is logical], known, judged, policy, now
            )
    for one in judged.values():
        if one.point.pinned:
            one.keep(f"pinned: {one.point.pinned}")
        locked = one.point.immutable_until
        if locked is not None and locked > now:
            one.keep("immutable", locked)
    for one in list(judged.values()):
        keep_chain(one.point, known, judged)
    return judged


def keep_chain(point: Point, known: dict[str, Point], judged: dict[str, Judgement]) -> None:
    """Keep what a kept recovery point builds on, for as long."""
    one = judged[point.id]
    if not one.kept:
        return
    seen = {point.id}
    while (parent := known.get(point.parent)) is not None and parent.id not in seen:
        seen.add(parent.id)
        judged[parent.id].keep(f"{one.point.id} builds on it", one.until)
        point = parent


def _rules(
    points: Sequence[Point],
    known: dict[str, Point],
    judged: dict[str, Judgement],
    policy: RetentionSettings,
    now: datetime,
) -> None:
    usable = [point for point in points if chain(point, known) is not None]
    counted = [point for point in usable if point.complete] or usable
    newest_first = counted[::-1]
    for number, point in enumerate(newest_first[: policy.last], 1):
        judged[point.id].keep(f"number {number} of the newest {policy.last}")
    for rule, (name, period) in _PERIODS.items():
        newest: dict[str, Point] = {}
        for point in newest_first:
            newest.setdefault(period(point.at), point)
        for label in sorted(newest, reverse=True)[: getattr(policy, rule)]:
            judged[newest[label].id].keep(f"{name} {label} of {getattr(policy, rule)}")
    oldest = min((p.at for p in usable if judged[p.id].kept), default=now)
    whole, some = {p.id for p in counted}, {p.id for p in usable}
    for point in points:
        one = judged[point.id]
        if policy.within is not None and now - point.at < timedelta(seconds=policy.within):
            one.keep("young", point.at + timedelta(seconds=policy.within))
        if point.id not in some:
            if point.at >= oldest:
                one.keep("its chain is broken here; another tier may bring what is missing")
        elif point.id not in whole and point.at > newest_first[0].at:
            one.keep("partial, and nothing complete is newer")
