"""Where copies lie: one Protocol, one file per kind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

Watch = Callable[[int], None]
"""Called with the bytes moved so far; may raise to stop."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing.

    Attributes:
        key: as it was put.
        size_bytes: as the tier says.
        modified_at: by the tier's own clock; good for leases and for sweeping, never for retention.
    """

    key: str
    size_bytes: int
    modified_at: datetime


class Tier(Protocol):
    """Keeps objects under keys such as shop/<id>/postgres.tar.zst.age."""

    name: str

    def put(self, key: str, file: Path, watch: Watch) -> None:
        """Store a file under a key, whole or not at all; the same bytes again are fine.

        The file may be deleted afterwards, and must not be written to: a tier may keep it itself.

        Raises:
            ExistsError: the key holds other bytes; they stay.
            TierError: the tier cannot be written.
        """

    def mark(self, key: str, content: bytes) -> None:
        """Store a small note (a pin, a lease) under a key, over what may be there.

        Raises:
            TierError: the tier cannot be written.
        """

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Return the object's bytes in pieces of at most a megabyte.

        Args:
            key: of the object.
            start: first byte.
            size: how many bytes at most; None: to the end.

        Raises:
            MissingObjectError: the tier holds no such object.
            TierError: the tier cannot be read.
        """

    def entries(self, prefix: str) -> list[Entry]:
        """Return all objects whose keys begin with the prefix, sorted by key.

        Raises:
            TierError: the tier cannot be read.
        """

    def list(self, prefix: str) -> list[str]:
        """Return the keys of `entries`."""

    def now(self) -> datetime:
        """Return the present moment by the tier's own clock.

        Raises:
            TierError: the tier does not answer.
        """

    def refuse_to_delete(self) -> str:
        """Return why this tier deletes nothing (no credential for it); empty when it may."""

    def immutable_until(self, key: str) -> datetime | None:
        """Return until when the tier itself refuses to delete an object; None when it does not.

        Raises:
            MissingObjectError: the tier holds no such object.
            TierError: the tier cannot be read.
        """

    def delete(self, key: str) -> None:
        """Delete an object for good; one that is not there is fine.

        Raises:
            TierError: the tier refuses or cannot be written.
        """

    def sweep(self, prefix: str, before: datetime) -> int:
        """Remove what uploads that broke off before a moment left behind; return how many.

        Raises:
            TierError: the tier cannot be written.
        """
