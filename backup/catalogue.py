"""What can be restored, read from the manifests in the tiers: a catalogue that cannot be lost."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from backup.deliver import key_of, verify_object
from backup.errors import DamagedError, TierError
from backup.manifest import FILE_NAME, Manifest
from backup.progress import Progress, one_at_a_time, silent
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier, open_tiers
from backup.tiers.tier import Tier
from storewatch.core.errors import BackupError

_MAX_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A recovery point and the tiers that hold it."""

    manifest: Manifest
    tiers: tuple[str, ...]


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
    """Read the manifests of all tiers; a tier that does not answer is named, not fatal."""
    catalogue = Catalogue()
    found: dict[str, tuple[Manifest, list[str]]] = {}
    for tier in open_tiers(settings):
        try:
            identifiers = identifiers_in(tier, settings.subject)
        except TierError as error:
            catalogue.problems.append(str(error))
            continue
        for identifier in identifiers:
            try:
                manifest = read_manifest(tier, settings.subject, identifier)
                known = found.setdefault(identifier, (manifest, []))
                if known[0] != manifest:
                    raise DamagedError(
                        f"tier {tier.name}: manifest of {identifier} differs from the one in "
                        f"tier {known[1][0]}"
                    )
                known[1].append(tier.name)
            except BackupError as error:
                catalogue.problems.append(str(error))
    catalogue.points = [
        RecoveryPoint(manifest, tuple(tiers))
        for _identifier, (manifest, tiers) in sorted(found.items(), reverse=True)
    ]
    return catalogue


def identifiers_in(tier: Tier, subject: str) -> list[str]:
    """Return the recovery points of a tier that have a manifest, newest first."""
    keys = (key.split("/") for key in tier.list(f"{subject}/"))
    return sorted((key[1] for key in keys if len(key) == 3 and key[2] == FILE_NAME), reverse=True)


def read_manifest(tier: Tier, subject: str, identifier: str) -> Manifest:
    """Read one manifest.

    Raises:
        DamagedError: it is truncated, edited, or another's.
        MissingObjectError: there is none.
        TierError: the tier cannot be read.
    """
    key = f"{subject}/{identifier}/{FILE_NAME}"
    where = f"tier {tier.name}: {key}"
    try:
        manifest = Manifest.from_bytes(_limited(tier.read(key)))
    except DamagedError as error:
        raise DamagedError(f"{where}: {error}") from None
    if (manifest.subject, manifest.id) != (subject, identifier):
        raise DamagedError(f"{where}: manifest of {manifest.subject}/{manifest.id}")
    return manifest


def _limited(chunks: Iterable[bytes]) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _MAX_MANIFEST_BYTES:
            raise DamagedError(f"manifest is larger than {_MAX_MANIFEST_BYTES} bytes")
    return bytes(content)


def newest_in(tier: Tier, subject: str) -> Manifest:
    """Return the newest recovery point of a tier; a damaged one is an error, not passed over.

    Raises:
        BackupError: the tier holds none, or it cannot be read.
    """
    identifiers = identifiers_in(tier, subject)
    if not identifiers:
        raise BackupError(
            f"tier {tier.name} holds no recovery point of {subject}; run `storewatch backup run`"
        )
    return read_manifest(tier, subject, identifiers[0])


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
    keys.add(key_of(manifest, FILE_NAME))
    for key in opened.list(f"{manifest.subject}/{manifest.id}/"):
        if key not in keys:
            problems.append(f"tier {tier}: {key} belongs to no object of the manifest")
    return manifest, problems
