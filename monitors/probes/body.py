"""The body of a response as it arrives: counted, decompressed where asked, never beyond its bound.

A body may be a bomb: a megabyte that unpacks to a gigabyte. Decompression stops at the bound too.
"""

import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]

DEFAULT_LIMIT_BYTES = 10 * 1024 * 1024
"""Bound of a body where the module names none; blackbox_exporter has no bound then."""

Decode = Callable[[bytes, int], bytes]
"""Decompresses more of a stream into at most so many bytes and one; raises on a broken stream."""


class Body:
    """What arrives of one response.

    Args:
        limit_bytes: the most that is read, after decompression.
        compression: what the module says that the body is compressed with, "" for nothing.
        keep: whether the content is needed, or its size alone.
    """

    __slots__ = ("_compression", "_decoder", "_keep", "_limit", "_parts", "error", "size")

    def __init__(self, limit_bytes: int, compression: str, *, keep: bool) -> None:
        self._limit = limit_bytes or DEFAULT_LIMIT_BYTES
        self._compression = compression
        self._keep = keep
        self.reset()

    def reset(self) -> None:
        """Begin again with the next response."""
        self.size = 0
        self.error = ""
        self._parts: list[bytes] = []
        self._decoder = _DECODERS[self._compression]() if self._compression else None

    def write(self, chunk: bytes) -> int | None:
        """Take a part; -1 tells libcurl to stop."""
        if self._decoder is not None:
            try:
                chunk = self._decoder.decode(chunk, self._limit - self.size)
            except (zlib.error, brotli.error) as error:
                self.error = f"the body is no {self._compression}: {error}"
                return -1
        self.size += len(chunk)
        if self.size > self._limit:
            self.size = self._limit
            self.error = f"the body is longer than {self._limit} bytes; set body_size_limit"
            return -1
        if self._keep:
            self._parts.append(chunk)
        return None

    def end(self) -> None:
        """Say in `error` when a compressed body broke off."""
        if self._decoder is not None and not self._decoder.complete and not self.error:
            self.error = f"the body is no whole {self._compression}"

    @property
    def text(self) -> str:
        """The content; bytes that are no UTF-8 become U+FFFD, as Go's patterns see them."""
        return b"".join(self._parts).decode("utf-8", "replace")


class _Zlib:
    """gzip (one member or several) and raw deflate."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)
        self.complete = False

    def decode(self, chunk: bytes, room: int) -> bytes:
        out = b""
        while chunk and len(out) <= room:
            if self._stream.eof:
                if self._window < 0:
                    break  # what follows raw deflate is not read
                self._stream = zlib.decompressobj(self._window)
            out += self._stream.decompress(chunk, room + 1 - len(out))
            chunk = self._stream.unused_data or self._stream.unconsumed_tail
        self.complete = self._stream.eof
        return out


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self.complete = False

    def decode(self, chunk: bytes, room: int) -> bytes:
        out = bytes(self._stream.process(chunk, output_buffer_limit=room + 1))
        while len(out) <= room and not self._stream.can_accept_more_data():
            more = self._stream.process(b"", output_buffer_limit=room + 1 - len(out))
            if not more:
                break
            out += more
        self.complete = self._stream.is_finished()
        return out


class _Identity:
    complete = True

    def decode(self, chunk: bytes, room: int) -> bytes:  # noqa: ARG002 - the others' form
        return chunk


_DECODERS: dict[str, Callable[[], _Zlib | _Brotli | _Identity]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(-15),
    "br": _Brotli,
    "identity": _Identity,
}
