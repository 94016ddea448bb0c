"""Open one sealed object: age, then zstd, as streams with memory that does not grow."""

import hashlib
import io
import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyrage
import zstandard

from backup.children import widen
from backup.errors import DamagedError, DecryptionError
from backup.frames import plain_chunks
from backup.seal import CHUNK_BYTES

_CHUNKS_AHEAD = 2


class Plain(io.RawIOBase):
    """The plain bytes of a sealed object, hashed by the thread that opens it.

    Args:
        chunks: the bytes; an exception among them is raised when it is reached.
        hashed: the hash of all chunks so far.

    Attributes:
        size_bytes: read so far.
        waited_s: seconds that its reader waited for decryption and decompression.
    """

    def __init__(self, chunks: Iterator[bytes | Exception], hashed: Any) -> None:
        self._chunks = chunks
        self._hash = hashed
        self._rest = memoryview(b"")
        self.size_bytes = 0
        self.waited_s = 0.0

    def readable(self) -> bool:
        """Say that this file is for reading."""
        return True

    def tell(self) -> int:
        """Return how much was read."""
        return self.size_bytes

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 only at the true end of the object.

        Raises:
            DecryptionError: the identity does not fit or the bytes were altered.
            DamagedError: what was sealed is no whole zstd frame.
        """
        if not self._rest:
            begun = time.monotonic()
            chunk = next(self._chunks, b"")
            self.waited_s += time.monotonic() - begun
            if isinstance(chunk, Exception):
                raise chunk
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.size_bytes += count
        return count

    @property
    def sha256(self) -> str:
        """The hash of the object, once it was read to its end."""
        return str(self._hash.hexdigest())


@contextmanager
def opened(sealed: BinaryIO, identity: Any) -> Iterator[Plain]:
    """Read the plain bytes of a sealed object; altered ones end in an error, never in silence.

    One thread decrypts, two decompress, one hashes, and the caller does with the result what it
    likes. age authenticates the stored bytes and zstd's checksum holds the plain ones.

    Args:
        sealed: the stored bytes.
        identity: the age identity, or a list of which one fits.
    """
    ready: queue.Queue[bytes | Exception | None] = queue.Queue(_CHUNKS_AHEAD)
    abandoned = threading.Event()
    hashed = hashlib.sha256()
    arguments = (sealed, identity, hashed, ready, abandoned)
    thread = threading.Thread(target=_open, args=arguments, name="open", daemon=True)
    thread.start()
    chunks: Iterator[Any] = iter(ready.get, None)
    try:
        yield Plain(chunks, hashed)
    finally:
        abandoned.set()
        for _ in chunks:  # the thread may wait for room
            pass
        thread.join()


def _open(
    sealed: BinaryIO,
    identity: Any,
    hashed: Any,
    ready: "queue.Queue[bytes | Exception | None]",
    abandoned: threading.Event,
) -> None:
    """Hand over the plain bytes, then what went wrong, if anything, then None whatever happens."""
    failures: list[Exception] = []
    try:
        for chunk in filter(None, _plain(sealed, identity, failures)):  # b"" is the end
            hashed.update(chunk)
            ready.put(chunk)
            if abandoned.is_set():
                break
    except Exception as error:  # noqa: BLE001 - handed to the thread that reads
        zstd = isinstance(error, zstandard.ZstdError)
        failures.append(DamagedError(f"zstd: {error}") if zstd else error)
    for last in (*failures[:1], None):
        ready.put(last)


def _plain(sealed: BinaryIO, identity: Any, failures: list[Exception]) -> Iterator[bytes]:
    """Yield the plain bytes; why decryption ended early comes first among the failures."""
    handle_in, handle_out = os.pipe()
    widen(handle_out)
    arguments = (sealed, identity, handle_out, failures)
    decrypting = threading.Thread(target=_decrypt, args=arguments, name="decrypt", daemon=True)
    decrypting.start()
    try:
        with os.fdopen(handle_in, "rb", buffering=CHUNK_BYTES) as reader:
            yield from plain_chunks(reader)
    finally:
        decrypting.join()


def _decrypt(sealed: BinaryIO, identity: Any, handle: int, failures: list[Exception]) -> None:
    try:
        with os.fdopen(handle, "wb", buffering=CHUNK_BYTES) as writer:
            several = identity if isinstance(identity, list) else [identity]
            pyrage.decrypt_io(sealed, writer, several)
    except BrokenPipeError:  # the reader went away; it knows why
        pass
    except Exception as error:  # noqa: BLE001 - handed to the thread that reads
        # pyrage reports altered bytes in mid-stream as OSError without a number.
        altered = isinstance(error, OSError) and error.errno is None
        if altered or isinstance(error, pyrage.DecryptError):
            error = DecryptionError(f"age: {error}")
        failures.append(error)
