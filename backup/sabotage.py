"""A drill that must fail: a copy of a backup is damaged, and the drill has to name what is.

A drill that passes whatever it is given proves nothing; so once in a while it is given what is
broken. The damaged copy is one of our own, below the scratch folder; no tier is written to.
"""

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from backup.catalogue import newest_in, read_manifest
from backup.deliver import key_of
from backup.drill import run_drill
from backup.manifest import FILE_NAME, Manifest
from backup.progress import Progress, silent
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.settings import FolderTierSettings
from backup.tiers.tier import Tier
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore

_SPOILT = "spoilt"


def _flip(file: Path, chance: random.Random) -> None:
    with file.open("r+b") as opened:
        place = chance.randrange(file.stat().st_size)
        opened.seek(place)
        byte = opened.read(1)[0] ^ (1 << chance.randrange(8))
        opened.seek(place)
        opened.write(bytes([byte]))


def _truncate(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def _append(file: Path, chance: random.Random) -> None:
    with file.open("ab") as opened:
        opened.write(chance.randbytes(chance.randint(1, 4096)))


def _replace(file: Path, chance: random.Random) -> None:
    """Other bytes of the same length, in the middle of the file."""
    size = file.stat().st_size
    count = min(size, 4096)
    with file.open("r+b") as opened:
        opened.seek((size - count) // 2)
        opened.write(chance.randbytes(count))


def _remove(file: Path, chance: random.Random) -> None:  # noqa: ARG001 - the others' form
    file.unlink()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "a bit is flipped": _flip,
    "it is truncated": _truncate,
    "bytes are appended": _append,
    "bytes are replaced": _replace,
    "it is missing": _remove,
}
"""What is done to one file of the copy, an object or the manifest."""


def run_sabotage(
    settings: BackupSettings,
    tier: str,
    evidence: EvidenceStore,
    progress: Progress = silent,
    seed: int | None = None,
) -> Evidence:
    """Damage a copy of the newest recovery point at random and drill it.

    Args:
        settings: of the package.
        tier: where the copy comes from.
        evidence: where the record goes; it passes when the drill failed and named the file.
        progress: told of bytes.
        seed: of the choice; it is in the record, so that a choice can be repeated.

    Raises:
        UsageError: there is no such tier, or the port is one of production.
        BusyError: another drill is running.
        BackupError: the tier holds no recovery point, or it cannot be read.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    chance = random.Random(seed)
    source = open_tier(settings, tier)
    draft = evidence.open("sabotage", tier)
    beside = settings.drill.scratch.parent
    with tempfile.TemporaryDirectory(prefix="sabotage-", dir=beside) as name:
        folder = Path(name)
        folder.chmod(0o711)
        manifest = newest_in(source, settings.subject)
        _copy_chain(source, manifest, folder, progress)
        own = folder / manifest.subject / manifest.id
        names = sorted(one.name for one in own.iterdir())
        file, damage = chance.choice(names), chance.choice(list(DAMAGES))
        DAMAGES[damage](own / file, chance)
        drilled = run_drill(
            _reading(settings, folder), _SPOILT, EvidenceStore(folder), progress, manifest.id
        )
    named = [note for note in drilled.notes if _names(note, file)]
    found = drilled.verdict is not Verdict.PASS and bool(named)
    notes = [f"seed {seed}: {file} of {manifest.id}: {damage}", *drilled.notes[:5]]
    return draft.finish([Measurement("damage_found", int(found), "", Target("=", 1))], notes)


def _names(note: str, file: str) -> bool:
    return file in note or (file == FILE_NAME and "manifest" in note)


def _copy_chain(tier: Tier, manifest: Manifest, folder: Path, progress: Progress) -> None:
    """Copy a recovery point and those that it builds on."""
    while True:
        for name in (FILE_NAME, *(one.stored_name for one in manifest.objects)):
            key = key_of(manifest, name)
            place = folder / key
            place.parent.mkdir(parents=True, exist_ok=True)
            size_bytes = 0
            with place.open("xb") as file:
                for chunk in tier.read(key):
                    file.write(chunk)
                    size_bytes += len(chunk)
                    progress(f"copy {name}", size_bytes, None)
        if not manifest.parent:
            return
        manifest = read_manifest(tier, manifest.subject, manifest.parent)


def _reading(settings: BackupSettings, folder: Path) -> BackupSettings:
    """Return the settings with the copy as the only tier."""
    spoilt = FolderTierSettings(name=_SPOILT, kind="folder", path=folder)
    drill = settings.drill.model_copy(update={"tier": _SPOILT, "application": None})
    return settings.model_copy(update={"tiers": (spoilt,), "drill": drill})
