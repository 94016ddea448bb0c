"""Clients of boto3, as every S3 tier needs them."""

import threading
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from pydantic import SecretStr

from backup.tiers.s3_upload import count_only_what_is_sent
from backup.tiers.settings import S3TierSettings


@cache
def _session() -> Any:
    """Return the one session: each reads megabytes of JSON that describe Amazon's services."""
    return boto3.session.Session()


_MAKING = threading.Lock()  # clients are safe for threads, making them is not


def make_client(settings: S3TierSettings, access: SecretStr, secret: SecretStr) -> Any:
    """Return a client of boto3 for one credential.

    Both checksum options are `when_required`: the defaults of boto3 >= 1.36 send trailers that many
    S3 servers refuse.
    """
    with _MAKING:
        client = _session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=access.get_secret_value(),
            aws_secret_access_key=secret.get_secret_value(),
            config=Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=settings.timeout,
                read_timeout=settings.timeout,
                retries={"mode": "standard", "total_max_attempts": settings.attempts},
                s3={"addressing_style": "path"} if settings.endpoint_url else {},
            ),
        )
    count_only_what_is_sent(client)
    return client
