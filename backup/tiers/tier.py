"""Where copies lie: one Protocol, one file per kind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

Watch = Callable[[int], None]
"""Called with the bytes moved so far; may raise to stop."""


class Tier(Protocol):
    """Keeps objects under keys such as shop/<id>/postgres.tar.zst.age."""

    name: str

    def put(self, key: str, file: Path, watch: Watch) -> None:
        """Store a file under a key, whole or not at all.

        Raises:
            TierError: the tier cannot be written.
        """

    def read(self, key: str) -> Iterator[bytes]:
        """Return the object's bytes in pieces of at most a megabyte.

        Raises:
            MissingObjectError: the tier holds no such object.
            TierError: the tier cannot be read.
        """

    def list(self, prefix: str) -> list[str]:
        """Return all keys that begin with the prefix, sorted.

        Raises:
            TierError: the tier cannot be read.
        """
