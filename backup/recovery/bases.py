"""The base backups of a tier from which a target can be reached."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from backup.catalogue import identifiers_in, read_manifest
from backup.manifest import INCREMENTAL, LOGICAL, Manifest
from backup.recovery.target import Kind, RecoveryTarget
from backup.recovery.timelines import Route
from backup.tiers.tier import Tier
from backup.wal.names import parse_lsn
from storewatch.core.clock import parse_rfc3339
from storewatch.core.errors import BackupError


@dataclass(frozen=True, slots=True)
class Base:
    """A base backup, with the chain that it builds on.

    Attributes:
        manifest: of the recovery point.
        timeline, stop: where it ends.
        stop_at: the server's clock when it had ended.
        system_identifier, segment_bytes: of the database.
    """

    manifest: Manifest
    timeline: int
    stop: int
    stop_at: datetime
    system_identifier: str
    segment_bytes: int

    @classmethod
    def of(cls, manifest: Manifest) -> "Base | None":
        """Read it from a manifest; None when it holds no base backup."""
        facts = manifest.sources.get("postgres")
        if facts is None or manifest.kind == LOGICAL:
            return None
        try:
            return cls(
                manifest,
                int(facts["timeline"]),
                parse_lsn(facts["stop_lsn"]),
                parse_rfc3339(facts["stop_at"]),
                facts["system_identifier"],
                int(facts["wal_segment_bytes"]),
            )
        except (KeyError, ValueError, TypeError):
            return None

    def lies_on(self, route: Route) -> bool:
        """Tell whether the route leads on from here."""
        end = route.end_of(self.timeline)
        return end is not None and self.stop <= end

    def is_before(self, target: RecoveryTarget) -> bool:
        """Tell whether the target can still be reached, as far as that is known."""
        if target.kind == Kind.TIME:
            assert target.at is not None
            return self.stop_at <= target.at
        return target.kind != Kind.LSN or self.stop <= target.position


def read_bases(tier: Tier, subject: str) -> tuple[list[Base], list[str]]:
    """Return the usable base backups of a tier, oldest first, and what is wrong with others.

    Raises:
        TierError: the tier cannot be read.
    """
    manifests: dict[str, Manifest] = {}
    problems: list[str] = []
    for identifier in reversed(identifiers_in(tier, subject)):
        try:
            manifests[identifier] = read_manifest(tier, subject, identifier)
        except BackupError as error:
            problems.append(str(error))
    bases = []
    for manifest in manifests.values():
        base = Base.of(manifest)
        lost = missing_parent(manifest, manifests)
        if lost:
            problems.append(f"{manifest.id}: chain unusable, its parent {lost} is missing")
        elif base is not None:
            bases.append(base)
    return bases, problems


def missing_parent(manifest: Manifest, known: dict[str, Manifest]) -> str:
    """Return the id of a chain that is not there; empty when the chain is whole."""
    one = manifest
    while one.kind == INCREMENTAL:
        if one.parent not in known:
            return one.parent
        one = known[one.parent]
    return ""


def chain_of(tier: Tier, manifest: Manifest) -> list[Manifest]:
    """Return the recovery points that this one is made of, the full one first.

    Raises:
        BackupError: one is missing or damaged: the chain is unusable.
    """
    chain = [manifest]
    while chain[0].kind == INCREMENTAL:
        parent = chain[0].parent
        try:
            chain.insert(0, read_manifest(tier, manifest.subject, parent))
        except BackupError as error:
            raise BackupError(
                f"{manifest.id}: chain unusable, it builds on {parent}: {error}"
            ) from error
    return chain


def newest_first(bases: Sequence[Base], route: Route, target: RecoveryTarget) -> Iterator[Base]:
    """Yield the bases that may lead to the target, newest first."""
    return (one for one in reversed(bases) if one.lies_on(route) and one.is_before(target))


def oldest_on(bases: Iterable[Base], route: Route) -> Base | None:
    """Return the oldest base from which the route leads on."""
    return next((one for one in bases if one.lies_on(route)), None)
