"""What a prune of a tier would do, decided without reading any object."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backup.catalogue import tier_settings
from backup.clocks import clock_doubts, load_seen, manifest_doubts, present, save_seen
from backup.holdings import Holdings, read_holdings
from backup.manifest import Manifest
from backup.prune_wal import floors, needless
from backup.retention import Judgement, Point, chain, id_time, judge
from backup.settings import BackupSettings
from backup.tiers.registry import open_tiers
from backup.tiers.settings import RetentionSettings
from backup.tiers.tier import Entry, Tier
from backup.verified import FOLDER
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import BackupError, UsageError

SWEEP_AFTER = timedelta(days=1)


@dataclass(slots=True)
class Plan:
    """What a prune would do.

    Attributes:
        judged: every recovery point of the tier with the reasons for which it stays.
        unfinished: objects of backups that broke off.
        wal: segments that nobody needs.
        refusals: why nothing at all may be deleted.
        notes: what was left alone, and why.
        verified: how many copies that stay were read back whole lately.
        damaged: objects that were found damaged.
    """

    held: Holdings
    judged: dict[str, Judgement]
    unfinished: list[Entry] = field(default_factory=list)
    wal: list[Entry] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verified: int | None = None
    damaged: list[str] = field(default_factory=list)

    @property
    def going(self) -> list[Manifest]:
        """The recovery points that go, newest first: what builds on another goes before it."""
        ids = sorted((i for i, one in self.judged.items() if not one.kept), reverse=True)
        return [self.held.manifests[i] for i in ids]

    def to_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "points": [
                {
                    "id": one.point.id,
                    "at": rfc3339(one.point.at),
                    "keep": one.kept,
                    "reasons": one.reasons,
                    "until": one.until and rfc3339(one.until),
                }
                for one in self.judged.values()
            ],
            "wal": [entry.key for entry in self.wal],
            "unfinished": [entry.key for entry in self.unfinished],
            "refusals": self.refusals,
            "notes": self.notes,
        }


def make_plan(
    settings: BackupSettings, tier: Tier, clock: Callable[[], datetime] = utc_now
) -> Plan:
    """Decide what would go.

    Raises:
        UsageError: the tier has no retention.
        TierError: the tier cannot be read.
    """
    policy, now = policy_of(settings, tier.name), clock()
    held = read_holdings(tier, settings.subject)
    plan = Plan(held, judge(held.points(tier), policy, now))
    last = load_seen(settings.spool / FOLDER / "clock.json")
    times = [one.finished_at for one in held.manifests.values()]
    plan.refusals += clock_doubts(present(now), last, tier.now(), times)
    for manifest in held.manifests.values():
        plan.refusals += manifest_doubts(manifest, now)
    if not plan.refusals:
        save_seen(settings.spool / FOLDER / "clock.json", present(now))
    known = {one.point.id: one.point for one in plan.judged.values()}
    if not any(j.kept and _whole(j.point, known) for j in plan.judged.values()):
        plan.refusals.append(
            "no complete recovery point would remain; run `storewatch backup run` first"
        )
    plan.notes += held.damaged.values()
    plan.notes += [
        f"tier {tier.name}: {key} is nothing of ours; left alone" for key in held.foreign
    ]
    plan.unfinished = _unfinished(settings, tier, held, policy, now)
    plan_wal(settings, tier, plan, now)
    return plan


def policy_of(settings: BackupSettings, tier: str) -> RetentionSettings:
    """Return the retention of a tier.

    Raises:
        UsageError: it has none.
    """
    policy = tier_settings(settings, tier).retention
    if policy is None:
        raise UsageError(
            f"tier {tier} has no retention, so everything stays; give it one, such as "
            "retention: {last: 7, daily: 14, monthly: 12}"
        )
    return policy


def _whole(point: Point, known: dict[str, Point]) -> bool:
    return point.complete and chain(point, known) is not None


def plan_wal(settings: BackupSettings, tier: Tier, plan: Plan, now: datetime) -> None:
    """Decide what WAL goes, once it is known which recovery points stay."""
    kept = [plan.held.manifests[i] for i, one in plan.judged.items() if one.kept]
    needed_from = floors(kept, policy_of(settings, tier.name), now)
    plan.wal, unclear = needless(plan.held.wal, tier, settings.subject, needed_from)
    plan.notes += [note for note in unclear if note not in plan.notes]


def _unfinished(
    settings: BackupSettings, tier: Tier, held: Holdings, policy: RetentionSettings, now: datetime
) -> list[Entry]:
    """Return what backups that broke off left behind.

    Both the time in the id and the tier's own say that it is older than a day; and no other tier
    has a manifest of it that this tier should have too: `sync` brings that one.
    """
    old = {
        identifier: files
        for identifier, files in held.unfinished.items()
        if now - (id_time(identifier) or now) > SWEEP_AFTER
        and all(now - entry.modified_at > SWEEP_AFTER for entry in files)
    }
    if not old:
        return []
    points = {point.id: point for point in held.points()}
    for other in open_tiers(settings):
        if other.name != tier.name:
            try:
                points |= {p.id: p for p in read_holdings(other, settings.subject).points()}
            except BackupError:
                return []
    judged = judge(points.values(), policy, now)
    return [
        entry
        for identifier, files in old.items()
        if identifier not in judged or not judged[identifier].kept
        for entry in files
    ]
