"""Seal and open one object: zstd, then age, as streams with memory that does not grow.

Source: the layers are those of `zstd | age -r`, so that `age -d | zstd -d` opens an object without
storewatch.
"""

import hashlib
import io
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
import zstandard

from backup.children import widen
from backup.errors import DamagedError, DecryptionError

CHUNK_BYTES = 1 << 20
_CHUNKS_AHEAD = 4
_MAX_WINDOW_BYTES = 128 << 20  # `zstd --long=27` and level 19 open; a forged window does not


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is known of an object once it is sealed."""

    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str


class _Tally:
    """A binary file that counts and hashes what passes."""

    def __init__(self, file: BinaryIO, watch: Callable[[int], None] | None = None) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._watch = watch
        self.size_bytes = 0
        self.error: Exception | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
            self._hash.update(data)
            self.size_bytes += len(data)
            if self._watch:
                self._watch(self.size_bytes)
        except Exception as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Sink:
    """Takes the plain bytes of one object; see `sealing`."""

    def __init__(self, compressor: Any, watch: Callable[[int], None] | None) -> None:
        self._plain = _Tally(compressor, watch)
        self.sizes: Sizes | None = None

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        return self._plain.write(data)

    def finished(self, stored: _Tally) -> None:
        """Fix the sizes and hashes."""
        self.sizes = Sizes(
            self._plain.size_bytes, self._plain.sha256, stored.size_bytes, stored.sha256
        )


@contextmanager
def sealing(
    destination: Path,
    recipients: Sequence[Any],
    level: int,
    watch: Callable[[int], None] | None = None,
    guard: Callable[[int], None] | None = None,
) -> Iterator[Sink]:
    """Write an object into a file; afterwards `sink.sizes` is set and the file is durable.

    Args:
        destination: a new file; it is removed when anything fails.
        recipients: age recipients.
        level: of zstd.
        watch: called with the plain bytes so far.
        guard: called with the stored bytes so far; may raise to stop.

    Raises:
        OSError: the file cannot be written.
    """
    with destination.open("xb") as file:
        stored = _Tally(file, guard)
        handle_in, handle_out = os.pipe()
        widen(handle_out)
        worker = _Worker(
            lambda reader: pyrage.encrypt_io(reader, stored, list(recipients)),
            os.fdopen(handle_in, "rb", buffering=CHUNK_BYTES),
            lambda: stored.error,
        )
        try:
            with worker.feeding(os.fdopen(handle_out, "wb", buffering=CHUNK_BYTES)) as pipe:
                # One worker, as the program zstd has: hashing goes on while it compresses.
                compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, threads=1)
                with compressor.stream_writer(pipe, closefd=False) as compressed:
                    sink = Sink(compressed, watch)
                    yield sink
            worker.check()
            file.flush()
            os.fsync(file.fileno())
        except BaseException as error:
            destination.unlink(missing_ok=True)
            if isinstance(error, BrokenPipeError):
                worker.check()
            raise
        sink.finished(stored)


class _Worker:
    """A thread at the reading end of a pipe."""

    def __init__(
        self,
        work: Callable[[BinaryIO], None],
        reader: BinaryIO,
        cause: Callable[[], Exception | None],
    ) -> None:
        self._work = work
        self._reader = reader
        self._cause = cause
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="seal", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what the thread met, if anything."""
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        with self._reader:
            try:
                self._work(self._reader)
            except Exception as error:  # noqa: BLE001 - handed to the thread that waits
                self.error = self._cause() or error

    @contextmanager
    def feeding(self, pipe: Any) -> Iterator[Any]:
        """Lend the writing end, close it and wait for the thread, whatever happens."""
        try:
            yield pipe
        finally:
            try:
                pipe.close()
            finally:
                self._thread.join()


class Plain(io.RawIOBase):
    """The plain bytes of a sealed object, hashed as they are read.

    Args:
        chunks: the bytes; an exception among them is raised when it is reached.

    Attributes:
        size_bytes: read so far.
        waited_s: seconds that its reader waited for decryption and decompression.
    """

    def __init__(self, chunks: Iterator[bytes | Exception]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._hash = hashlib.sha256()
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
            self._hash.update(chunk)
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self.size_bytes += count
        return count

    @property
    def sha256(self) -> str:
        """The hash of what was read; of the whole object at its end."""
        return self._hash.hexdigest()


@contextmanager
def opened(sealed: BinaryIO, identity: Any) -> Iterator[Plain]:
    """Read the plain bytes of a sealed object.

    One thread decrypts, one decompresses, and the caller does with the result what it likes.

    Args:
        sealed: the stored bytes.
        identity: the age identity, or a list of which one fits.
    """
    ready: queue.Queue[bytes | Exception | None] = queue.Queue(_CHUNKS_AHEAD)
    abandoned = threading.Event()
    arguments = (sealed, identity, ready, abandoned)
    thread = threading.Thread(target=_open, args=arguments, name="open", daemon=True)
    thread.start()
    chunks: Iterator[Any] = iter(ready.get, None)
    try:
        yield Plain(chunks)
    finally:
        abandoned.set()
        for _ in chunks:  # the thread may wait for room
            pass
        thread.join()


def _open(
    sealed: BinaryIO,
    identity: Any,
    ready: "queue.Queue[bytes | Exception | None]",
    abandoned: threading.Event,
) -> None:
    """Hand over the plain bytes, then what went wrong, if anything, then None whatever happens."""
    failures: list[Exception] = []
    try:
        for chunk in _plain(sealed, identity, failures):
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
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    try:
        with os.fdopen(handle_in, "rb", buffering=0) as reader:
            yield from decompressor.read_to_iter(reader, CHUNK_BYTES, CHUNK_BYTES)
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
