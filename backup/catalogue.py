"""What can be restored, read from the manifests in the tiers: a catalogue that cannot be lost."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from backup.deliver import key_of, verify_object
from backup.errors import TierError
from backup.holdings import PIN_NAME, Holdings
from backup.holdings import read_holdings as read_holdings
from backup.holdings import read_manifest as read_manifest
from backup.manifest import FILE_NAME, LOGICAL, Manifest
from backup.progress import Progress, one_at_a_time, silent
from backup.retention import Judgement, judge
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier, open_tiers
from backup.tiers.settings import FolderTierSettings, S3TierSettings
from backup.tiers.tier import Tier
from backup.verified import Reading, Verified
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError, UsageError


@dataclass(frozen=True, slots=True)
class Standing:
    """How a recovery point stands in one tier.

    Attributes:
        verified_at: when its oldest reading was, if each object was read back whole; None if not.
        judgement: why it stays and until when; without a reason the next prune deletes it.
    """

    verified_at: datetime | None
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A recovery point and the tiers that hold it, each with how it stands there."""

    manifest: Manifest
    tiers: tuple[str, ...]
    standing: dict[str, Standing] = field(default_factory=dict)


@dataclass(slots=True)
class Catalogue:
    """Everything found.

    Attributes:
        points: newest first.
        problems: damaged manifests and unreachable tiers, one line each.
    """

    points: list[RecoveryPoint] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def list_recovery_points(settings: BackupSettings) -> Catalogue:
    """Read the manifests of all tiers; a tier that does not answer is named, not fatal.

    Where manifests of one id differ, the one that most tiers have counts (the first tier's when
    none has more), and the others are named.
    """
    catalogue = Catalogue()
    found: dict[str, dict[str, Manifest]] = {}
    standing: dict[str, dict[str, Standing]] = {}
    for tier in open_tiers(settings):
        try:
            held = read_holdings(tier, settings.subject)
        except TierError as error:
            catalogue.problems.append(str(error))
            continue
        catalogue.problems += held.damaged.values()
        for identifier, manifest in held.manifests.items():
            found.setdefault(identifier, {})[tier.name] = manifest
        for identifier, one in _standing(settings, tier, held).items():
            standing.setdefault(identifier, {})[tier.name] = one
    for identifier, versions in sorted(found.items(), reverse=True):
        counted = Counter(manifest.to_bytes() for manifest in versions.values())
        most = counted.most_common(1)[0][0]  # of equals the one that was seen first
        tiers = [tier for tier, manifest in versions.items() if manifest.to_bytes() == most]
        catalogue.problems += [
            f"tier {tier}: manifest of {identifier} differs from the one in tier {tiers[0]}"
            for tier in versions
            if tier not in tiers
        ]
        manifest = versions[tiers[0]]
        here = {tier: standing[identifier][tier] for tier in tiers}
        catalogue.points.append(RecoveryPoint(manifest, tuple(tiers), here))
    return catalogue


def _standing(settings: BackupSettings, tier: Tier, held: Holdings) -> dict[str, Standing]:
    """Tell of each recovery point of a tier when it was verified and why it stays."""
    policy = tier_settings(settings, tier.name).retention
    judged = judge(held.points(), policy, utc_now())
    known = Verified(settings.spool, tier.name).load()
    return {
        identifier: Standing(verified_at(manifest, known), judged[identifier])
        for identifier, manifest in held.manifests.items()
    }


def verified_at(manifest: Manifest, known: dict[str, Reading]) -> datetime | None:
    """Return when every object of a copy was read back whole; None when one was not."""
    moments = []
    for one in manifest.objects:
        reading = known.get(key_of(manifest, one.stored_name))
        if reading is None or reading.sha256 != one.stored_sha256:
            return None
        moments.append(reading.at)
    return min(moments, default=None)


def tier_settings(settings: BackupSettings, name: str) -> FolderTierSettings | S3TierSettings:
    """Return the settings of one tier.

    Raises:
        UsageError: there is none of that name.
    """
    for one in settings.tiers:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in settings.tiers)
    raise UsageError(f"there is no tier {name!r}; use one of {names}")


def identifiers_in(tier: Tier, subject: str) -> list[str]:
    """Return the recovery points of a tier that have a manifest, newest first."""
    keys = (key.split("/") for key in tier.list(f"{subject}/"))
    return sorted((key[1] for key in keys if len(key) == 3 and key[2] == FILE_NAME), reverse=True)


def newest_in(tier: Tier, subject: str) -> Manifest:
    """Return the newest recovery point of a tier; a damaged one is an error, not passed over.

    Logical dumps are no recovery points of everything, and are passed over.

    Raises:
        BackupError: the tier holds none, or it cannot be read.
    """
    for identifier in identifiers_in(tier, subject):
        manifest = read_manifest(tier, subject, identifier)
        if manifest.kind != LOGICAL:
            return manifest
    raise BackupError(
        f"tier {tier.name} holds no recovery point of {subject}; run `storewatch backup run`"
    )


def verify(
    settings: BackupSettings,
    tier: str,
    identifier: str | None = None,
    progress: Progress = silent,
) -> tuple[Manifest, list[str]]:
    """Read every object of a recovery point (the newest without an id) and compare it.

    Returns:
        the manifest and one line for each object that is missing or damaged; none when it is whole.

    Raises:
        BackupError: the manifest is missing or damaged, or the tier cannot be read.
    """
    opened = open_tier(settings, tier)
    manifest = (
        newest_in(opened, settings.subject)
        if identifier is None
        else read_manifest(opened, settings.subject, identifier)
    )
    problems = []
    report = one_at_a_time(progress)
    for one in manifest.objects:
        try:
            verify_object(opened, manifest, one, report)
        except BackupError as error:
            problems.append(str(error))
    keys = {key_of(manifest, one.stored_name) for one in manifest.objects}
    keys |= {key_of(manifest, FILE_NAME), key_of(manifest, PIN_NAME)}
    for key in opened.list(f"{manifest.subject}/{manifest.id}/"):
        if key not in keys:
            problems.append(f"tier {tier}: {key} belongs to no object of the manifest")
    return manifest, problems
