"""A tier on any S3 server. The only module that knows boto3."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from backup.errors import MissingObjectError, TierError
from backup.tiers.settings import S3TierSettings
from backup.tiers.tier import Watch

_CHUNK_BYTES = 1 << 20
_PART_BYTES = 16 << 20
_MISSING = ("NoSuchKey", "404")


class S3Tier:
    """A bucket.

    Both checksum options are `when_required`: the defaults of boto3 >= 1.36 send trailers that many
    S3 servers refuse. Large objects go up in parts of 16 MiB, at most two at once; when one fails,
    the upload is aborted and no object appears.
    """

    def __init__(self, settings: S3TierSettings) -> None:
        self.name = settings.name
        self._bucket = settings.bucket
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        self._where = f"tier {settings.name} ({settings.endpoint_url or 'AWS'})"
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key.get_secret_value(),
            aws_secret_access_key=settings.secret_key.get_secret_value(),
            config=Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=settings.timeout,
                read_timeout=settings.timeout,
                retries={"mode": "standard", "total_max_attempts": settings.attempts},
                s3={"addressing_style": "path"} if settings.endpoint_url else {},
            ),
        )
        self._transfer = TransferConfig(
            multipart_threshold=_PART_BYTES,
            multipart_chunksize=_PART_BYTES,
            max_concurrency=2,
            use_threads=True,
        )

    def put(self, key: str, file: Path, watch: Watch) -> None:
        """Upload the file, in parts when it is large."""
        moved = 0

        def count(size: int) -> None:
            nonlocal moved
            moved += size
            watch(moved)

        with self._failures(key):
            self._client.upload_file(
                str(file), self._bucket, self._prefix + key, Config=self._transfer, Callback=count
            )

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the object's bytes."""
        with self._failures(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(_CHUNK_BYTES)

    def list(self, prefix: str) -> list[str]:
        """Return the keys."""
        with self._failures(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return sorted(key[len(self._prefix) :] for key in keys)

    @contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, Boto3Error, HTTPError, OSError) as error:
            cause = error.__context__ if isinstance(error, Boto3Error) else error
            if isinstance(cause, ClientError):
                code = cause.response.get("Error", {}).get("Code", "")
                if code in _MISSING:
                    raise MissingObjectError(f"{self._where}: {key} is missing") from None
                raise TierError(f"{self._where}: {key}: {code or cause}") from error
            raise TierError(f"{self._where}: {key}: {cause or error}") from error
