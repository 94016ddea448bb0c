"""The part `backup.tiers:`: where copies go."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from backup.values import NAME_FORM, Folder
from storewatch.schema import Duration, Section


class FolderTierSettings(Section):
    """A tier that is a folder (local disk, network file system)."""

    name: str = Field(pattern=NAME_FORM)
    kind: Literal["folder"]
    path: Folder


class S3TierSettings(Section):
    """A tier on an S3 server.

    Attributes:
        endpoint_url: the server; None for Amazon's own.
        prefix: put before every key, without a slash at either end.
        timeout: seconds for one connection or one silent read.
        attempts: tries of one request in all.
    """

    name: str = Field(pattern=NAME_FORM)
    kind: Literal["s3"]
    endpoint_url: str | None = Field(default=None, pattern=r"^https?://[^/]+/?$")
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    access_key: SecretStr
    secret_key: SecretStr
    timeout: Duration = 30.0
    attempts: int = Field(default=3, ge=1)


TierSettings = Annotated[FolderTierSettings | S3TierSettings, Field(discriminator="kind")]
