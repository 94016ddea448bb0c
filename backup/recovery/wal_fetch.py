"""Fetch and open files of the WAL archive; what is not the file that its name says is refused."""

import hashlib
import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backup.errors import DamagedError, DecryptionError
from backup.progress import Progress
from backup.seal import CHUNK_BYTES
from backup.tiers.tier import Tier
from backup.unseal import opened
from backup.wal.archive import Archive
from backup.wal.names import (
    HASH_DIGITS,
    Fork,
    Segment,
    WalFile,
    format_lsn,
    history_name,
    parse_history,
)
from storewatch.core.errors import BackupError

# Source: PostgreSQL 18, src/include/access/xlog_internal.h, XLogLongPageHeaderData: magic, info,
# timeline, address of the page, rest of the record before, system identifier, segment size.
_PAGE = struct.Struct("=HHIQI4xQI")
_MOST_BYTES = 1 << 30  # initdb --wal-segsize goes up to 1 GB


class WalReader:
    """The archive of one system in one tier.

    Args:
        tier: where it lies.
        subject: of the keys.
        archive: its listing.
        segment_bytes: of the database.
        identity: age identity.
    """

    def __init__(
        self, tier: Tier, subject: str, archive: Archive, segment_bytes: int, identity: Any
    ) -> None:
        self._tier = tier
        self._subject = subject
        self._identity = identity
        self.archive = archive
        self.segment_bytes = segment_bytes

    def history(self, timeline: int) -> tuple[Fork, ...]:
        """Return the ancestors of a timeline.

        Raises:
            BackupError: the file is missing, damaged or no history.
        """
        name = history_name(timeline)
        file = self.archive.files.get(name)
        if file is None:
            raise BackupError(
                f"tier {self._tier.name}: {name} is missing; without it nobody knows where "
                f"timeline {timeline} began"
            )
        return parse_history(self._open(file), timeline)

    def fetch_histories(self, folder: Path) -> None:
        """Write all history files: the restored server must not take a timeline that exists."""
        for timeline in self.archive.histories():
            file = self.archive.files[history_name(timeline)]
            (folder / file.name).write_bytes(self._open(file))

    def fetch(self, segments: Iterable[Segment], folder: Path, progress: Progress) -> None:
        """Write segments under their own names; those that are there are kept.

        Raises:
            BackupError: one is missing, damaged or of another database.
        """
        wanted = list(segments)
        total = len(wanted) * self.segment_bytes
        for count, segment in enumerate(wanted, start=1):
            name = segment.name(self.segment_bytes)
            if not (folder / name).exists():
                file = self.archive.files.get(name)
                if file is None:
                    raise BackupError(f"tier {self._tier.name}: WAL segment {name} is missing")
                content = self._open(file)
                self._check(segment, file, content)
                (folder / name).write_bytes(content)
            progress("fetch WAL", count * self.segment_bytes, total)

    def _check(self, segment: Segment, file: WalFile, content: bytes) -> None:
        where = f"tier {self._tier.name}: {self._key(file)}"
        if len(content) != self.segment_bytes:
            raise DamagedError(f"{where} has {len(content)} bytes, not {self.segment_bytes}")
        _magic, _info, _timeline, address, _rest, system, _size = _PAGE.unpack_from(content)
        if str(system) != self.archive.system_identifier:
            raise DamagedError(
                f"{where} is WAL of system {system}, not of {self.archive.system_identifier}"
            )
        if address != segment.number * self.segment_bytes:
            raise DamagedError(f"{where} is the segment at {format_lsn(address)}")

    def _key(self, file: WalFile) -> str:
        return file.key(self._subject, self.archive.system_identifier)

    def _open(self, file: WalFile) -> bytes:
        """Return the plain bytes of a file, at most a segment."""
        where = f"tier {self._tier.name}: {self._key(file)}"
        sealed = io.BytesIO()
        for chunk in self._tier.read(self._key(file)):
            sealed.write(chunk)
            if sealed.tell() > _MOST_BYTES:
                raise DamagedError(f"{where} is larger than any WAL segment")
        sealed.seek(0)
        content = bytearray()
        try:
            with opened(sealed, self._identity) as plain:
                while chunk := plain.read(CHUNK_BYTES):
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise DamagedError("larger than any WAL segment")  # noqa: TRY301 - named like the others
        except (DecryptionError, DamagedError) as error:
            raise type(error)(f"{where}: {error}") from None
        if hashlib.sha256(content).hexdigest()[:HASH_DIGITS] != file.plain_hash:
            raise DamagedError(f"{where} is damaged: its bytes are not those of its name")
        return bytes(content)
