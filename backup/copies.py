"""Copies in one tier, read back when nobody did so lately; what was read is remembered."""

import hashlib
from collections.abc import Callable
from datetime import datetime

from backup.deliver import compare, key_of
from backup.errors import TierError
from backup.holdings import Holdings
from backup.manifest import Manifest, ObjectRecord
from backup.progress import Progress
from backup.settings import BackupSettings
from backup.tiers.tier import Tier
from backup.verified import Reading, Verified
from storewatch.core.errors import BackupError


class Copies:
    """The recovery points of one tier.

    Args:
        settings: of the package.
        tier: where they lie.
        held: what the tier holds.
        progress: told of bytes.
        clock: tells the present moment.
    """

    def __init__(
        self,
        settings: BackupSettings,
        tier: Tier,
        held: Holdings,
        progress: Progress,
        clock: Callable[[], datetime],
    ) -> None:
        self._tier, self._held, self._progress, self._clock = tier, held, progress, clock
        self._verified = Verified(settings.spool, tier.name)
        self._known = self._verified.load()
        self._problems: dict[str, list[str]] = {}

    def assure(self, identifier: str, since: datetime) -> list[str]:
        """Return what is wrong with a copy, one line each; read what was not read since a moment.

        Raises:
            TierError: the tier cannot be read.
        """
        if identifier not in self._problems:
            manifest = self._held.manifests[identifier]
            sizes = {e.key: e.size_bytes for e in self._held.files.get(identifier, [])}
            found = (self._object(manifest, one, sizes, since) for one in manifest.objects)
            self._problems[identifier] = [problem for problem in found if problem]
        return self._problems[identifier]

    def _object(
        self, manifest: Manifest, one: ObjectRecord, sizes: dict[str, int], since: datetime
    ) -> str:
        key = key_of(manifest, one.stored_name)
        known = self._known.get(key)
        if (
            known is not None
            and since <= known.at <= self._clock()
            and known.sha256 == one.stored_sha256
            and sizes.get(key) == one.stored_bytes
        ):
            return ""
        try:
            sha256, size = read_whole(self._tier, key, one.name, one.stored_bytes, self._progress)
            compare(self._tier.name, manifest, one, size, sha256)
        except TierError:
            raise
        except BackupError as error:
            return str(error)
        self._verified.add([Reading(key, sha256, self._clock())])
        return ""


def read_whole(
    tier: Tier, key: str, name: str, total: int | None, progress: Progress
) -> tuple[str, int]:
    """Read an object to its end.

    Returns:
        its SHA-256 and its size in bytes.

    Raises:
        MissingObjectError: it is not there.
        TierError: the tier cannot be read.
    """
    seen, size = hashlib.sha256(), 0
    for chunk in tier.read(key):
        seen.update(chunk)
        size += len(chunk)
        progress(f"verify {tier.name}: {name}", size, total)
    return seen.hexdigest(), size
