"""A tier on any S3 server. Only the modules s3*.py know boto3."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from backup.errors import ExistsError, MissingObjectError, TierError
from backup.tiers.bandwidth import Bandwidth
from backup.tiers.s3_client import make_client
from backup.tiers.s3_upload import Upload
from backup.tiers.settings import S3TierSettings
from backup.tiers.tier import Entry, Watch

_CHUNK_BYTES = 1 << 20
_MISSING = ("NoSuchKey", "404")
_EXISTS = ("PreconditionFailed", "412", "ConditionalRequestConflict")
_NOT_THERE = ("NotImplemented", "501", "MethodNotAllowed", "405", "NoSuchVersion")
_ERROR_BODY = (b"<?xml", b"<Error")


class S3Tier:
    """A bucket.

    Requests are tried again by botocore (500, 503, time-outs, resets); a read
    that breaks off goes on where it broke.
    """

    def __init__(self, settings: S3TierSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._bucket = settings.bucket
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        self._where = f"tier {settings.name} ({settings.endpoint_url or 'AWS'})"
        self._bandwidth = Bandwidth(settings.bandwidth)

    def put(self, key: str, file: Path, watch: Watch) -> None:
        """Upload the file, in parts when it is large; what is there already stays.

        Servers that ignore the condition (rclone) are asked first, which leaves a gap of one
        request; keys hold a ULID or a hash, so that only a mistake could fall into it.
        """
        with self._failures(key):
            if self._size(key) is not None:
                self._compare(key, file)
                return
            upload = Upload(
                self._client, self._bucket, self._prefix + key, file, watch, self._bandwidth,
                self._retention(), {"IfNoneMatch": "*"},
            )  # fmt: skip
            try:
                upload.run()
            except ClientError as error:
                # What was sent twice because an answer was lost meets itself, or no upload.
                if _code(error) not in (*_EXISTS, "NoSuchUpload") or self._size(key) is None:
                    raise
                self._compare(key, file)
            if (stored := self._size(key)) != file.stat().st_size:
                raise TierError(
                    f"{self._where}: {key}: the server took {file.stat().st_size} bytes and has "
                    f"{stored}"
                )
            self._lock(key)

    def mark(self, key: str, content: bytes) -> None:
        """Put a small object over what may be there."""
        with self._failures(key):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes; after a cut, go on by range with the same object."""
        at, end, tag, failures = start, None if size is None else start + size, "", 0
        while True:
            try:
                with self._failures(key):
                    answer = self._get(key, at, end, tag)
                    tag = answer.get("ETag", "")
                    with closing(answer["Body"]) as body:
                        for chunk in body.iter_chunks(_CHUNK_BYTES):
                            self._refuse_error_body(key, at, chunk)
                            self._bandwidth.spend(len(chunk))
                            yield chunk
                            at += len(chunk)
                            failures = 0
                return
            except TierError as error:
                if isinstance(error.__cause__, ClientError):
                    raise  # botocore has tried often enough
                failures += 1
                if failures >= self._settings.attempts:
                    raise

    def _get(self, key: str, at: int, end: int | None, tag: str) -> Any:
        wanted = {}
        if at or end is not None:
            wanted["Range"] = f"bytes={at}-{'' if end is None else end - 1}"
        if tag and at:
            wanted["IfMatch"] = tag
        return self._client.get_object(
            Bucket=self._bucket,
            Key=self._prefix + key,
            **wanted,
        )

    def _refuse_error_body(self, key: str, at: int, chunk: bytes) -> None:
        """Tell a server's error that came with status 200 from an object; ours never look so."""
        if at == 0 and chunk.startswith(_ERROR_BODY):
            raise TierError(f"{self._where}: {key}: 200 with an error body")

    def entries(self, prefix: str) -> list[Entry]:
        """Return the objects."""
        with self._failures(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            found = [
                Entry(one["Key"][len(self._prefix) :], one["Size"], one["LastModified"])
                for page in pages
                for one in page.get("Contents", [])
            ]
        return sorted(found, key=lambda entry: entry.key)

    def list(self, prefix: str) -> list[str]:
        """Return the keys."""
        return [entry.key for entry in self.entries(prefix)]

    def now(self) -> datetime:
        """Return the Date of the server's answer, which has whole seconds."""
        with self._failures("its clock"):
            answer = self._client.head_bucket(Bucket=self._bucket)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            return parsedate_to_datetime(date)
        except ValueError:
            raise TierError(f"{self._where}: the server sends no Date, only {date!r}") from None

    def refuse_to_delete(self) -> str:
        """Return what to configure when there is no credential that may delete."""
        if self._settings.prune_access_key is None:
            return (
                f"tier {self.name} has no credential that may delete; give prune_access_key and "
                "prune_secret_key where prune runs"
            )
        return ""

    def immutable_until(self, key: str) -> datetime | None:
        """Return the date of Object Lock, where the bucket enforces it."""
        with self._failures(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            until = answer.get("ObjectLockRetainUntilDate")
        return until if until is not None and self._locks else None

    def delete(self, key: str) -> None:
        """Delete every version with the credential for pruning; a marker alone frees nothing."""
        if refusal := self.refuse_to_delete():
            raise TierError(refusal)
        whole = self._prefix + key
        with self._failures(key):
            for version in self._versions(whole):
                self._pruner.delete_object(Bucket=self._bucket, Key=whole, **version)

    def sweep(self, prefix: str, before: datetime) -> int:
        """Abort the uploads that broke off."""
        with self._failures(prefix):
            left = [u for u in self._uploads(self._prefix + prefix) if u["Initiated"] < before]
            for upload in left:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        return len(left)

    def _uploads(self, prefix: str) -> Sequence[Any]:
        try:
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            return [one for page in pages for one in page.get("Uploads", [])]
        except ClientError as error:
            if _code(error) in (*_NOT_THERE, "NoSuchUpload"):  # rclone's word for none
                return []
            raise

    def _versions(self, key: str) -> Sequence[dict[str, Any]]:
        """Return what to delete for a key: its versions, or the key on a server without them."""
        try:
            pages = self._pruner.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=key
            )
            found = [
                one for page in pages for kind in ("Versions", "DeleteMarkers")
                for one in page.get(kind, [])
            ]  # fmt: skip
        except ClientError as error:
            if _code(error) not in _NOT_THERE:
                raise
            return [{}]
        return [{"VersionId": one["VersionId"]} for one in found if one["Key"] == key]

    def _size(self, key: str) -> int | None:
        """Return the size of an object; None when there is none or we may not ask."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except ClientError as error:
            if _code(error) in (*_MISSING, "NoSuchBucket"):
                return None
            raise
        return int(answer["ContentLength"])

    def _compare(self, key: str, file: Path) -> None:
        """Let the same bytes pass.

        Raises:
            ExistsError: they are others.
        """
        with file.open("rb") as ours:
            same = all(ours.read(len(chunk)) == chunk for chunk in self.read(key))
            if not same or ours.read(1):
                raise ExistsError(
                    f"{self._where}: {key} exists with other bytes; it is not overwritten"
                )

    def _retention(self) -> dict[str, Any]:
        if self._settings.immutable_for is None:
            return {}
        if not self._locks:
            raise TierError(
                f"{self._where}: bucket {self._bucket} has no Object Lock, so immutable_for cannot "
                "hold; make the bucket with it or take immutable_for out"
            )
        return {
            "ObjectLockMode": self._settings.immutable_mode.upper(),
            "ObjectLockRetainUntilDate": self.now()
            + timedelta(seconds=self._settings.immutable_for),
        }

    def _lock(self, key: str) -> None:
        """Make sure of the retention: some servers forget it when an object comes in parts.

        Raises:
            TierError: the server does not keep it.
        """
        if self._settings.immutable_for is None or self.immutable_until(key) is not None:
            return
        asked = self._retention()
        retention = {
            "Mode": asked["ObjectLockMode"],
            "RetainUntilDate": asked["ObjectLockRetainUntilDate"],
        }
        self._client.put_object_retention(
            Bucket=self._bucket, Key=self._prefix + key, Retention=retention
        )
        if self.immutable_until(key) is None:
            raise TierError(f"{self._where}: {key}: the server does not keep it immutable")

    @cached_property
    def _locks(self) -> bool:
        """Whether the bucket enforces Object Lock; some servers only repeat the headers."""
        try:
            answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) in ("ObjectLockConfigurationNotFoundError", *_NOT_THERE):
                return False
            raise
        return bool(answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled")

    @cached_property
    def _client(self) -> Any:
        """The client of everything that does not delete."""
        return make_client(self._settings, self._settings.access_key, self._settings.secret_key)

    @cached_property
    def _pruner(self) -> Any:
        """The client that may delete; see `refuse_to_delete`."""
        access, secret = self._settings.prune_access_key, self._settings.prune_secret_key
        assert access is not None and secret is not None
        return make_client(self._settings, access, secret)

    @contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if _code(error) in _MISSING:
                raise MissingObjectError(f"{self._where}: {key} is missing") from None
            raise TierError(f"{self._where}: {key}: {_code(error) or error}") from error
        except (BotoCoreError, HTTPError, OSError) as error:
            raise TierError(f"{self._where}: {key}: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
