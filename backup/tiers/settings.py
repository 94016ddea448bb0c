"""The part `backup.tiers:`: where copies go, and how long they stay there."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from backup.values import NAME_FORM, Folder
from storewatch.schema import Duration, Section

_DAY_S = 86400.0


class RetentionSettings(Section):
    """What a prune of a tier leaves; a recovery point stays while any rule wants it.

    Attributes:
        last: the newest so many.
        within: seconds; every one that is younger.
        daily, weekly, monthly, yearly: the newest of each of the last so many days, ISO weeks,
            months and years (UTC) that have one.
        minimum: copies that were read back whole within `verified_within` and that stay whatever
            the other rules say; with fewer, nothing is deleted.
        verified_within: seconds; how old a verification may be to count.
        point_in_time: seconds; WAL stays so that any moment of so long a time can be restored;
            None: since the oldest base backup that stays.

    Source: the rules are those of restic's and proxmox-backup's `forget`/`prune`.
    """

    last: int = Field(default=0, ge=0)
    within: Duration | None = None
    daily: int = Field(default=0, ge=0)
    weekly: int = Field(default=0, ge=0)
    monthly: int = Field(default=0, ge=0)
    yearly: int = Field(default=0, ge=0)
    minimum: int = Field(default=2, ge=1)
    verified_within: Duration = 30 * _DAY_S
    point_in_time: Duration | None = None

    @model_validator(mode="after")
    def _keeps_something(self) -> "RetentionSettings":
        if not (self.last or self.daily or self.weekly or self.monthly or self.yearly):
            raise ValueError(
                "retention would in the end delete every recovery point; give at least one of "
                "last, daily, weekly, monthly, yearly, such as daily: 14"
            )
        return self


class FolderTierSettings(Section):
    """A tier that is a folder (local disk, network file system).

    Attributes:
        bandwidth: bytes a second, for what goes in and comes out; None for no limit.
        retention: None keeps everything.
    """

    name: str = Field(pattern=NAME_FORM)
    kind: Literal["folder"]
    path: Folder
    bandwidth: int | None = Field(default=None, ge=1024)
    retention: RetentionSettings | None = None


class S3TierSettings(Section):
    """A tier on an S3 server.

    Attributes:
        endpoint_url: the server; None for Amazon's own.
        prefix: put before every key, without a slash at either end.
        access_key, secret_key: may put, get and list; they need not be able to delete.
        prune_access_key, prune_secret_key: may delete as well; only a prune and `unpin` use them.
        timeout: seconds for one connection or one silent read.
        attempts: tries of one request in all.
        bandwidth: bytes a second, for what goes in and comes out; None for no limit.
        immutable_for: seconds for which the server itself refuses to delete (Object Lock).
        immutable_mode: `compliance` binds everybody, `governance` can be lifted with a permission.
        retention: None keeps everything.
    """

    name: str = Field(pattern=NAME_FORM)
    kind: Literal["s3"]
    endpoint_url: str | None = Field(default=None, pattern=r"^https?://[^/]+/?$")
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    access_key: SecretStr
    secret_key: SecretStr
    prune_access_key: SecretStr | None = None
    prune_secret_key: SecretStr | None = None
    timeout: Duration = 30.0
    attempts: int = Field(default=3, ge=1)
    bandwidth: int | None = Field(default=None, ge=1024)
    immutable_for: Duration | None = None
    immutable_mode: Literal["compliance", "governance"] = "compliance"
    retention: RetentionSettings | None = None

    @model_validator(mode="after")
    def _pair(self) -> "S3TierSettings":
        if (self.prune_access_key is None) != (self.prune_secret_key is None):
            raise ValueError("prune_access_key and prune_secret_key belong together; give both")
        return self


TierSettings = Annotated[FolderTierSettings | S3TierSettings, Field(discriminator="kind")]
