"""Seal one object: zstd, then age, as streams with memory that does not grow.

Source: the layers are those of `zstd | age -r`, so that `age -d | zstd -d` opens an object without
storewatch.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyrage

from backup.children import widen
from backup.frames import FrameWriter
from storewatch.store.files import WriteBehind

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is known of an object once it is sealed."""

    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str


class _Tally:
    """A binary file that counts and hashes what passes."""

    def __init__(self, file: Any, watch: Callable[[int], None] | None = None) -> None:
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
    with destination.open("xb", buffering=0) as file:
        stored = _Tally(WriteBehind(file), guard)
        handle_in, handle_out = os.pipe()
        widen(handle_out)
        worker = _Worker(
            lambda reader: pyrage.encrypt_io(reader, stored, list(recipients)),
            os.fdopen(handle_in, "rb", buffering=CHUNK_BYTES),
            lambda: stored.error,
        )
        try:
            writer = os.fdopen(handle_out, "wb", buffering=CHUNK_BYTES)
            with worker.feeding(writer) as pipe, FrameWriter(pipe, level) as compressed:
                sink = Sink(compressed, watch)
                yield sink
            worker.check()
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
