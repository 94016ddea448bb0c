"""The daily proof that today's identity opens yesterday's backup, by a small part of one object.

A lost or wrong key is otherwise found on the day of the disaster. It runs where the identity lies.
"""

import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

import pyrage
import zstandard

from backup.deliver import key_of
from backup.errors import DamagedError, DecryptionError, TierError, one_line
from backup.holdings import read_holdings
from backup.keys import load_identity
from backup.manifest import Manifest
from backup.settings import BackupSettings
from backup.tiers.registry import open_tiers
from backup.tiers.tier import Tier
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PART_BYTES = 256 << 10
"""age's header and more than one of its chunks of 64 KiB; Source: age-encryption.org/v1."""


@dataclass(slots=True)
class Outcome:
    """What the canary saw.

    Attributes:
        opened: tiers whose copy opened, with what was opened.
        refused: copies that did not open, one line each.
        notes: what a person should know.
    """

    opened: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def canary(
    settings: BackupSettings,
    evidence: EvidenceStore,
    clock: Callable[[], datetime] = utc_now,
) -> Evidence:
    """Open a part of yesterday's newest backup and of the oldest one in every tier.

    It fails when a copy does not open; a tier that is down is said and fails nothing, unless no
    tier answers.
    """
    draft, done = evidence.open("canary", settings.subject), Outcome()
    failure = ""
    try:
        identity = load_identity(settings.identity_file)
        for tier in open_tiers(settings):
            _tier(settings, tier, identity, done, clock())
    except BackupError as error:
        failure = f"canary failed: {one_line(error)}"
    except Exception as error:  # noqa: BLE001 - a canary that breaks off has died
        failure = f"canary failed: {one_line(error)}"
    measurements = [
        Measurement("copies_opened", len(done.opened) or None, "copies", Target(">=", 1)),
        Measurement("copies_refused", len(done.refused), "copies", Target("=", 0)),
    ]
    notes = [*([failure] if failure else []), *done.refused, *done.notes]
    notes += [f"opened: {one}" for one in done.opened]
    return draft.finish(measurements, notes, [Verdict.FAIL] if failure else [])


def _tier(
    settings: BackupSettings, tier: Tier, identity: list[object], done: Outcome, now: datetime
) -> None:
    try:
        manifests = list(read_holdings(tier, settings.subject).manifests.values())
        for manifest in chosen(manifests, now, done.notes, tier.name):
            _open(tier, manifest, identity, settings, done)
    except TierError as error:
        done.notes.append(f"not tried: {error}")


def chosen(manifests: list[Manifest], now: datetime, notes: list[str], tier: str) -> list[Manifest]:
    """Return the newest of yesterday or before, and the oldest: keys change in between."""
    ordered = sorted(manifests, key=lambda manifest: manifest.finished_at)
    if not ordered:
        notes.append(f"tier {tier} holds no recovery point")
        return []
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    before = [manifest for manifest in ordered if manifest.finished_at < midnight]
    if not before:
        notes.append(f"tier {tier}: nothing is of yesterday or before; the oldest was taken")
        return [ordered[0]]
    return [before[-1]] if before[-1] is ordered[0] else [before[-1], ordered[0]]


def _open(
    tier: Tier,
    manifest: Manifest,
    identity: list[object],
    settings: BackupSettings,
    done: Outcome,
) -> None:
    """Open the beginning of one object, chosen at random."""
    one = secrets.choice(manifest.objects)
    key = key_of(manifest, one.stored_name)
    try:
        sealed = b"".join(tier.read(key, 0, _PART_BYTES))
        plain = open_part(sealed, identity, whole=len(sealed) == one.stored_bytes)
    except TierError:
        raise
    except DecryptionError as error:
        fits = f"identity {settings.identity_file} does not open it"
        done.refused.append(f"tier {tier.name}: {key}: {fits} ({error})")
    except BackupError as error:
        done.refused.append(f"tier {tier.name}: {key}: {one_line(error)}")
    else:
        done.opened.append(f"tier {tier.name}: {key}: {plain} plain bytes")


def open_part(sealed: bytes, identity: list[object], *, whole: bool) -> int:
    """Decrypt and decompress the beginning of a sealed object; return the plain bytes seen.

    Raises:
        DecryptionError: no identity fits, or the bytes were altered.
        DamagedError: what was sealed is no zstd.
    """
    plain = io.BytesIO()
    try:
        pyrage.decrypt_io(io.BytesIO(sealed), plain, identity)
    except pyrage.DecryptError as error:
        raise DecryptionError(f"age: {error}") from None
    except OSError as error:  # the end is missing, or the bytes were altered
        if whole or not plain.getvalue():
            raise DecryptionError(f"age: {error}") from None
    content = plain.getvalue()
    if not content.startswith(_ZSTD_MAGIC):
        raise DamagedError("what was sealed is no zstd frame")
    try:
        return len(
            zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(content)
        )
    except zstandard.ZstdError as error:
        raise DamagedError(f"zstd: {error}") from None
