"""Bring one file to an S3 server: in one request or in parts, never over something else.

Parts that an upload of the same key and the same bytes left behind (a killed sync) are used again.
"""

import base64
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from backup.tiers.bandwidth import Bandwidth
from backup.tiers.tier import Watch

PART_BYTES = 16 << 20
_MOST_PARTS = 10_000  # Source: Amazon S3, multipart upload limits
_AT_ONCE = 2
_READ_BYTES = 1 << 20


class Piece:
    """A part of a file as a request's body; counts what is sent and not what is only hashed.

    botocore reads a body twice over plain HTTP: for the signature, then to send it.
    """

    def __init__(self, file: int, start: int, size: int, moved: Callable[[int], None]) -> None:
        self._file, self._start, self._size = file, start, size
        self._moved = moved
        self._at = self._counted = 0
        self.sending = False

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        left = self._size - self._at
        data = os.pread(self._file, left if size < 0 else min(size, left), self._start + self._at)
        self._at += len(data)
        if self.sending:
            self._counted += len(data)
            self._moved(len(data))
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; a retry goes back to the beginning and takes back what it counted."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        if self.sending and self._at == 0 and self._counted:
            self._moved(-self._counted)
            self._counted = 0
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def md5(self) -> "hashlib._Hash":
        """Hash the whole piece; the server compares (Content-MD5)."""
        seen, at = hashlib.md5(usedforsecurity=False), 0
        while at < self._size:
            chunk = os.pread(self._file, min(_READ_BYTES, self._size - at), self._start + at)
            if not chunk:
                raise OSError("the file became shorter while it was read")
            seen.update(chunk)
            at += len(chunk)
        return seen


def count_only_what_is_sent(client: Any) -> None:
    """Tell a piece when botocore has signed and begins to send."""

    def switch(on: bool) -> Callable[..., None]:
        def apply(request: Any, **_kwargs: Any) -> None:
            body = getattr(request, "body", None)
            if isinstance(body, Piece):
                body.seek(0)
                body.sending = on

        return apply

    client.meta.events.register_first("request-created.s3", switch(False), unique_id="piece-off")
    client.meta.events.register_last("request-created.s3", switch(True), unique_id="piece-on")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way to one key.

    Attributes:
        client: of boto3.
        bucket, key: where to.
        file: what.
        watch: told of the bytes moved so far; may raise to stop.
        bandwidth: of the tier.
        options: of the request that makes the object, such as its retention.
        condition: of the request that makes the object visible, such as IfNoneMatch.
    """

    client: Any
    bucket: str
    key: str
    file: Path
    watch: Watch
    bandwidth: Bandwidth
    options: dict[str, Any]
    condition: dict[str, Any]

    def run(self) -> None:
        """Send it.

        Raises:
            Exception: what boto3 or the watch raised; the upload was aborted.
        """
        handle, meter = os.open(self.file, os.O_RDONLY), _Meter(self.watch, self.bandwidth)
        try:
            size = os.fstat(handle).st_size
            if size <= PART_BYTES:
                piece = Piece(handle, 0, size, meter.count)
                self.client.put_object(
                    **self._where, Body=piece, ContentMD5=_base64(piece), **self.options,
                    **self.condition,
                )  # fmt: skip
            else:
                self._in_parts(handle, size, meter)
        except BaseException:
            meter.check()
            raise
        finally:
            os.close(handle)

    @property
    def _where(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    def _in_parts(self, handle: int, size: int, meter: "_Meter") -> None:
        part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))
        pieces = {
            number: Piece(handle, start, min(part_bytes, size - start), meter.count)
            for number, start in enumerate(range(0, size, part_bytes), 1)
        }
        upload, there = self._left_behind(pieces)
        if upload is None:
            upload = self.client.create_multipart_upload(**self._where, **self.options)["UploadId"]
        try:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="part") as pool:
                running = [
                    pool.submit(self._part, upload, there, meter, *one) for one in pieces.items()
                ]
                parts = [future.result() for future in running]
            self.client.complete_multipart_upload(
                **self._where,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **self.condition,
            )
        except BaseException:
            self._abort(upload)
            raise

    def _part(
        self, upload: str, there: dict[int, str], meter: "_Meter", number: int, piece: Piece
    ) -> dict[str, Any]:
        """Send one part, unless it is there already."""
        meter.check()
        try:
            if number in there:
                meter.count(len(piece), sent=False)
                return {"PartNumber": number, "ETag": there[number]}
            answer = self.client.upload_part(
                **self._where,
                UploadId=upload,
                PartNumber=number,
                Body=piece,
                ContentMD5=_base64(piece),
            )
            return {"PartNumber": number, "ETag": answer["ETag"]}
        except BaseException as error:
            meter.fail(error)
            raise

    def _left_behind(self, pieces: dict[int, Piece]) -> tuple[str | None, dict[int, str]]:
        """Return the newest upload of this key that broke off, with its parts; end all others.

        One with a part that is not ours is ended too: some servers take no part twice.

        Source: the ETag of a part is its MD5 where the server does not encrypt; elsewhere no part
        matches and all are sent again.
        """
        try:
            uploads = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key)
        except ClientError:  # not offered, not permitted, or (rclone) none there
            return None, {}
        found = [u["UploadId"] for u in uploads.get("Uploads", []) if u["Key"] == self.key]
        # A retention is fixed when an upload begins; an old one would end early.
        newest = found[-1] if found and not self.options else None
        there = None if newest is None else self._parts(newest, pieces)
        for upload in found:
            if there is None or upload != newest:
                self._abort(upload)
        return (None, {}) if there is None else (newest, there)

    def _parts(self, upload: str, pieces: dict[int, Piece]) -> dict[int, str] | None:
        try:
            pages = self.client.get_paginator("list_parts").paginate(**self._where, UploadId=upload)
            parts = [part for page in pages for part in page.get("Parts", [])]
        except ClientError:
            return None
        for part in parts:
            piece = pieces.get(part["PartNumber"])
            if piece is None or part["Size"] != len(piece):
                return None
            if part["ETag"].strip('"') != piece.md5().hexdigest():
                return None
        return {part["PartNumber"]: part["ETag"] for part in parts}

    def _abort(self, upload: str) -> None:
        """End an upload; when even that fails, the next put of the key or a prune does it."""
        with suppress(Exception):
            self.client.abort_multipart_upload(**self._where, UploadId=upload)


class _Meter:
    """Counts what all parts of one upload sent, and keeps the first thing that went wrong.

    botocore wraps what a body raises and tries again; the first failure is the one to tell.
    """

    def __init__(self, watch: Watch, bandwidth: Bandwidth) -> None:
        self._watch, self._bandwidth = watch, bandwidth
        self._lock = threading.Lock()
        self._moved = 0
        self.failure: BaseException | None = None

    def count(self, size: int, *, sent: bool = True) -> None:
        """Take note of bytes, negative for those that will be sent again."""
        self.check()
        if sent and size > 0:
            self._bandwidth.spend(size)
        with self._lock:
            self._moved += size
            try:
                self._watch(self._moved)
            except BaseException as error:
                self.fail(error)
                raise

    def fail(self, error: BaseException) -> None:
        """Let all parts end early."""
        self.failure = self.failure or error

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failure is not None:
            raise self.failure


def _base64(piece: Piece) -> str:
    return base64.b64encode(piece.md5().digest()).decode()
