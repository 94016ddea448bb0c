"""zstd as a row of short frames, which two cores compress and decompress at the same time.

Source: RFC 8878; frames one after the other are a zstd file, so that `zstd -d` opens it.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, Self

import zstandard

from backup.errors import DamagedError

FRAME_BYTES = 4 << 20
"""Plain bytes of a frame; twice the window of level 3, so that little is lost at its borders."""
_WORKERS = 2  # more would take the shop's cores
_AHEAD = 3  # frames under way: one for each worker, one for who comes next
_MAX_WINDOW_BYTES = 128 << 20  # `zstd --long=27` and level 19 open; a forged window does not
_LONGEST_FRAME_BYTES = 2 * FRAME_BYTES  # what cannot be compressed grows by less than 1 %
_HEADER_START_BYTES = 5  # magic number and descriptor: enough to know how long the header is
_BLOCK_HEADER_BYTES = 3
_CHECKSUM_BYTES = 4
_RLE = 1  # a block of one byte, repeated


class FrameWriter:
    """Compress what is written; at the end of the `with` everything is in the file.

    Args:
        file: where the frames go.
        level: of zstd.
    """

    def __init__(self, file: BinaryIO, level: int) -> None:
        self._file = file
        self._level = level
        self._plain = bytearray()
        self._frames: deque[Future[bytes]] = deque()
        self._pool = ThreadPoolExecutor(_WORKERS, "compress")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: Any, *_: object) -> None:
        try:
            if failed is None:
                self._submit()
                self._write(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            count = FRAME_BYTES - len(self._plain)
            self._plain += view[:count]
            view = view[count:]
            if len(self._plain) == FRAME_BYTES:
                self._submit()
                self._write(_AHEAD)
        return len(data)

    def _submit(self) -> None:
        self._frames.append(self._pool.submit(self._compress, self._plain))
        self._plain = bytearray()

    def _write(self, left: int) -> None:
        for frame in _results(self._frames, left):
            self._file.write(frame)

    def _compress(self, plain: bytearray) -> bytes:
        return zstandard.ZstdCompressor(level=self._level, write_checksum=True).compress(plain)


def plain_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the plain bytes of a zstd file; a frame that is longer than ours is opened alone.

    Raises:
        DamagedError: it ends early, or a frame is longer than it says.
        zstandard.ZstdError: it is no zstd, or not what its checksums say.
    """
    frames: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(_WORKERS, "decompress") as pool:
        while start := file.read(_HEADER_START_BYTES):
            header = start + _exactly(file, zstandard.frame_header_size(start) - len(start))
            found = zstandard.get_frame_parameters(header)
            pieces = _pieces(file, header, has_checksum=found.has_checksum)
            if found.content_size <= FRAME_BYTES:
                frames.append(pool.submit(_decompress, _joined(pieces)))
                yield from _results(frames, _AHEAD)
            else:  # or not known, which is the largest number
                yield from _results(frames, 0)
                opener = zstandard.ZstdDecompressor(
                    max_window_size=_MAX_WINDOW_BYTES
                ).decompressobj()
                yield from filter(None, map(opener.decompress, pieces))
        yield from _results(frames, 0)


def _results(frames: deque[Future[bytes]], left: int) -> Iterator[bytes]:
    while len(frames) > left:
        yield frames.popleft().result()


def _decompress(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompress(frame)


def _pieces(file: BinaryIO, header: bytes, *, has_checksum: bool) -> Iterator[bytes]:
    """Yield a frame: its header, its blocks, its checksum."""
    yield header
    last = False
    while not last:
        block = _exactly(file, _BLOCK_HEADER_BYTES)
        bits = int.from_bytes(block, "little")
        last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
        yield block + _exactly(file, 1 if kind == _RLE else size)
    if has_checksum:
        yield _exactly(file, _CHECKSUM_BYTES)


def _joined(pieces: Iterator[bytes]) -> bytes:
    """Return a short frame whole; blocks without end do not fill the memory."""
    frame = bytearray()
    for piece in pieces:
        frame += piece
        if len(frame) > _LONGEST_FRAME_BYTES:
            raise DamagedError("zstd: a frame is longer than it says")
    return bytes(frame)


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise DamagedError("zstd: the last frame is not whole")
    return content
