"""zstd in frames: what any zstd makes is opened, what is not whole is refused."""

import io
import os
import subprocess
from pathlib import Path

import pytest
import zstandard

from backup.errors import DamagedError
from backup.frames import FRAME_BYTES, FrameWriter, plain_chunks
from storewatch.tools import find_program

CONTENT = os.urandom(FRAME_BYTES) + bytes(FRAME_BYTES) + b"end"


def written(content: bytes, piece: int = 1 << 20) -> bytes:
    file = io.BytesIO()
    with FrameWriter(file, 3) as writer:
        for start in range(0, len(content), piece):
            writer.write(content[start : start + piece])
    return file.getvalue()


def opened(compressed: bytes) -> bytes:
    return b"".join(plain_chunks(io.BytesIO(compressed)))


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 20_000_000])
@pytest.mark.parametrize("piece", [700_001, 9_000_000])
def test_what_is_written_is_read(size: int, piece: int) -> None:
    content = os.urandom(1_000_003) * 21
    assert opened(written(content[:size], piece)) == content[:size]


def test_the_program_zstd_opens_it(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(written(CONTENT))
    argv = [str(find_program("zstd")), "-dc", str(tmp_path / "a.zst")]
    assert subprocess.run(argv, check=True, capture_output=True).stdout == CONTENT


@pytest.mark.parametrize("flags", [[], ["--long=27", "-1"], ["--no-check"], ["-19", "-T2"]])
def test_what_the_program_zstd_makes_is_opened_frame_by_frame(flags: list[str]) -> None:
    argv = [str(find_program("zstd")), "-c", *flags]  # from a pipe: of a length it does not tell
    made = subprocess.run(argv, input=CONTENT, check=True, capture_output=True).stdout
    assert opened(made + written(b"more") + made) == CONTENT + b"more" + CONTENT


@pytest.mark.parametrize("left", [1, 4, 7, 12, 1000, FRAME_BYTES, -1, -5])
def test_an_end_that_is_missing_is_refused(left: int) -> None:
    with pytest.raises((DamagedError, zstandard.ZstdError)):
        opened(written(CONTENT)[:left])


def test_a_flipped_bit_in_any_frame_is_refused() -> None:
    made = bytearray(written(CONTENT))
    made[-1] ^= 1
    with pytest.raises(zstandard.ZstdError, match="checksum"):
        opened(bytes(made))


def test_a_short_frame_with_blocks_without_end_is_not_kept_in_memory() -> None:
    short = written(b"short")
    header = short[: zstandard.frame_header_size(short)]
    block = (131_072 << 3).to_bytes(3, "little") + bytes(131_072)
    with pytest.raises(DamagedError, match="longer than it says"):
        opened(header + block * 100)


def test_a_window_that_was_forged_is_refused() -> None:
    forged = zstandard.ZstdCompressionParameters(window_log=28)
    compressor = zstandard.ZstdCompressor(compression_params=forged).compressobj()
    made = compressor.compress(CONTENT) + compressor.flush()
    with pytest.raises(zstandard.ZstdError):
        opened(made)


def test_who_fails_while_writing_gets_the_error_and_no_frame_more() -> None:
    file = io.BytesIO()
    with pytest.raises(RuntimeError), FrameWriter(file, 3) as writer:
        writer.write(b"a")
        raise RuntimeError
    assert file.getvalue() == b""
