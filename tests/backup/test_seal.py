"""Sealing streams: whole or refused, with memory that does not grow."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
import zstandard

from backup.canary import open_part
from backup.errors import DamagedError, DecryptionError
from backup.seal import sealing
from backup.unseal import opened

IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENTS = [IDENTITY.to_public()]
CONTENT = os.urandom(3_000_000) + bytes(2_000_000)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    file = tmp_path / "object.zst.age"
    with sealing(file, RECIPIENTS, 3) as sink:
        for start in range(0, len(CONTENT), 700_001):
            sink.write(CONTENT[start : start + 700_001])
    assert sink.sizes is not None
    assert sink.sizes.plain_bytes == len(CONTENT)
    assert sink.sizes.stored_bytes == file.stat().st_size < len(CONTENT)
    return file


def test_what_was_sealed_is_opened_again(sealed: Path) -> None:
    with sealed.open("rb") as file, opened(file, IDENTITY) as plain:
        assert plain.readall() == CONTENT


def test_it_opens_with_age_and_zstd_alone(sealed: Path) -> None:
    compressed = pyrage.decrypt(sealed.read_bytes(), [IDENTITY])
    reader = zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True)
    assert reader.read() == CONTENT


def test_a_canary_sees_every_frame(sealed: Path) -> None:
    assert open_part(sealed.read_bytes(), [IDENTITY], whole=True) == len(CONTENT)


def test_several_recipients_can_each_open_it(tmp_path: Path) -> None:
    other = pyrage.x25519.Identity.generate()
    with sealing(tmp_path / "o", [*RECIPIENTS, other.to_public()], 1) as sink:
        sink.write(b"for both")
    for identity in (IDENTITY, other):
        with (tmp_path / "o").open("rb") as file, opened(file, identity) as plain:
            assert plain.readall() == b"for both"


def test_an_empty_object_is_an_object(tmp_path: Path) -> None:
    with sealing(tmp_path / "o", RECIPIENTS, 1):
        pass
    with (tmp_path / "o").open("rb") as file, opened(file, IDENTITY) as plain:
        assert plain.readall() == b""


@pytest.mark.parametrize("at", [0, 100, 1_000_000, -1])
def test_one_flipped_bit_anywhere_is_refused(sealed: Path, at: int) -> None:
    content = bytearray(sealed.read_bytes())
    content[at] ^= 1
    with opened(io.BytesIO(content), IDENTITY) as plain, pytest.raises(DecryptionError):
        plain.readall()


def test_what_was_altered_before_it_was_encrypted_is_refused_by_its_checksum(sealed: Path) -> None:
    compressed = bytearray(pyrage.decrypt(sealed.read_bytes(), [IDENTITY]))
    compressed[-1] ^= 1  # zstd's checksum of the plain bytes ends the frame
    content = io.BytesIO(pyrage.encrypt(bytes(compressed), RECIPIENTS))
    with opened(content, IDENTITY) as plain, pytest.raises(DamagedError, match="checksum"):
        plain.readall()


def test_the_plain_bytes_are_hashed_as_they_are_read(sealed: Path) -> None:
    with sealed.open("rb") as file, opened(file, IDENTITY) as plain:
        plain.readall()
    assert plain.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_truncated_object_is_refused(sealed: Path) -> None:
    content = sealed.read_bytes()[:2_000_000]
    with opened(io.BytesIO(content), IDENTITY) as plain, pytest.raises(DecryptionError):
        plain.readall()


def test_the_wrong_identity_is_refused(sealed: Path) -> None:
    other = pyrage.x25519.Identity.generate()
    with sealed.open("rb") as file, opened(file, other) as plain, pytest.raises(DecryptionError):
        plain.readall()


def test_a_source_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), sealing(tmp_path / "o", RECIPIENTS, 1) as sink:
        sink.write(CONTENT)
        raise RuntimeError
    assert not (tmp_path / "o").exists()


def test_a_guard_that_stops_is_heard_and_leaves_no_file(tmp_path: Path) -> None:
    def full(size_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(OSError, match="No space left"),
        sealing(tmp_path / "o", RECIPIENTS, 1, guard=full) as sink,
    ):
        for _ in range(20):
            sink.write(os.urandom(1_000_000))
    assert not (tmp_path / "o").exists()


def test_a_reader_that_stops_early_ends_the_work(sealed: Path) -> None:
    with sealed.open("rb") as file, opened(file, IDENTITY) as plain:
        assert len(plain.read(10)) == 10


_MEASURE = """
def peak():  # ru_maxrss would count the memory of whoever started us
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

import sys, os, pyrage
from pathlib import Path
from backup.seal import sealing
from backup.unseal import opened
identity = pyrage.x25519.Identity.generate()
file = Path(sys.argv[1])
block = os.urandom(1 << 20)
with sealing(file, [identity.to_public()], 3) as sink:
    for _ in range(int(sys.argv[2])):
        sink.write(block)
with file.open("rb") as sealed, opened(sealed, identity) as plain:
    while plain.read(1 << 20):
        pass
print(plain.size_bytes, peak())
"""


def peak_bytes(file: Path, megabytes: int) -> int:
    """Return the peak memory of a process that seals and opens so much."""
    output = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(file), str(megabytes)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    ).stdout.split()
    assert int(output[0]) == megabytes << 20
    return int(output[1])


def test_memory_does_not_grow_with_the_size(tmp_path: Path) -> None:
    small, large = peak_bytes(tmp_path / "a", 64), peak_bytes(tmp_path / "b", 256)
    assert large - small < 20 << 20  # both have filled every buffer
    assert large < 150 << 20


def test_whatever_goes_wrong_below_reaches_the_reader(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("backup.unseal.widen", broken)
    with sealed.open("rb") as file, opened(file, IDENTITY) as plain, pytest.raises(MemoryError):
        plain.read()
