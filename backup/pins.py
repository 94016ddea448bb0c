"""Recovery points that stay whatever the retention says: `pin.json` beside the manifest."""

import json

from backup.holdings import PIN_NAME
from backup.manifest import FILE_NAME
from backup.retention import id_time
from backup.settings import BackupSettings
from backup.tiers.registry import open_tiers
from backup.tiers.tier import Tier
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import UsageError


def pin(settings: BackupSettings, identifier: str, reason: str) -> list[str]:
    """Pin a recovery point in every tier that holds it.

    Returns:
        the tiers.

    Raises:
        UsageError: there is none of that id, or it is pinned already.
        TierError: a tier does not answer; the others are pinned, and a second call does the rest.
    """
    key = f"{settings.subject}/{identifier}/{PIN_NAME}"
    content = json.dumps({"reason": reason, "at": rfc3339(utc_now())}).encode()
    holders = _holders(settings, identifier)
    unpinned = [tier for tier in holders if key not in tier.list(key)]
    if not unpinned:
        said = json.loads(b"".join(holders[0].read(key)))["reason"]
        raise UsageError(
            f"{identifier} is pinned already: {said}; `storewatch backup unpin {identifier}` first"
        )
    for tier in unpinned:
        tier.mark(key, content)
    return [tier.name for tier in unpinned]


def unpin(settings: BackupSettings, identifier: str) -> list[str]:
    """Take the pin of a recovery point away in every tier.

    Returns:
        the tiers in which it was pinned.

    Raises:
        UsageError: there is none of that id, or a tier has no credential that may delete.
        TierError: a tier does not answer.
    """
    key = f"{settings.subject}/{identifier}/{PIN_NAME}"
    pinned = [tier for tier in _holders(settings, identifier) if key in tier.list(key)]
    for tier in pinned:
        if refusal := tier.refuse_to_delete():
            raise UsageError(refusal)
    for tier in pinned:
        tier.delete(key)
    return [tier.name for tier in pinned]


def _holders(settings: BackupSettings, identifier: str) -> list[Tier]:
    prefix = f"{settings.subject}/{identifier}/"
    if id_time(identifier) is None:
        raise UsageError(
            f"{identifier!r} is no id of a recovery point; `storewatch backup list` shows them"
        )
    tiers = [tier for tier in open_tiers(settings) if f"{prefix}{FILE_NAME}" in tier.list(prefix)]
    if not tiers:
        raise UsageError(
            f"no tier holds recovery point {identifier}; `storewatch backup list` shows them"
        )
    return tiers
