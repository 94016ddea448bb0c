"""What can be backed up: one Protocol, one file per kind."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from backup.seal import Sink

OpenObject = Callable[[str, int | None], AbstractContextManager[Sink]]
"""Called as open_object(name, estimated plain bytes or None); sealed when the block ends."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a source says of its copy.

    Attributes:
        facts: JSON for the manifest.
        problems: what could not be copied whole; makes the backup partial.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class Source(Protocol):
    """Something that is copied as one or more objects."""

    name: str

    def capture(self, open_object: OpenObject) -> Captured:
        """Stream everything into objects.

        Raises:
            BackupError: there is no usable copy.
        """
