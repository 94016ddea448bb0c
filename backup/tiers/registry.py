"""From the settings of a tier to the tier. A new kind is one line here."""

from backup.settings import BackupSettings
from backup.tiers.folder import FolderTier
from backup.tiers.settings import FolderTierSettings
from backup.tiers.tier import Tier
from storewatch.core.errors import UsageError


def open_tiers(settings: BackupSettings) -> list[Tier]:
    """Return all tiers, in the order of the settings; nothing is connected yet."""
    tiers: list[Tier] = []
    for one in settings.tiers:
        if isinstance(one, FolderTierSettings):
            tiers.append(FolderTier(one, settings.minimum_free_bytes))
        else:
            from backup.tiers.s3 import S3Tier  # boto3 is a fifth of the start of a command

            tiers.append(S3Tier(one))
    return tiers


def open_tier(settings: BackupSettings, name: str) -> Tier:
    """Return one tier by its name.

    Raises:
        UsageError: there is none of that name.
    """
    for tier in open_tiers(settings):
        if tier.name == name:
            return tier
    names = ", ".join(one.name for one in settings.tiers)
    raise UsageError(f"there is no tier {name!r}; use one of {names}")
