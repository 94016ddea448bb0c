"""The manifest of a recovery point: what was copied, and what a restore of it must show.

It is written last; a copy without a manifest does not count. The member `digest` is the SHA-256 of
all other members as canonical JSON (sorted keys, no spaces, UTF-8), so that a truncated or edited
manifest is rejected.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from backup.errors import DamagedError
from storewatch.core.clock import parse_rfc3339, rfc3339

FORMAT = "storewatch-backup"
VERSION = 1
FILE_NAME = "manifest.json"
SUFFIX = ".zst.age"
FULL, INCREMENTAL, LOGICAL = "full", "incremental", "logical"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One sealed object.

    Attributes:
        name: as it is called once opened, such as postgres.tar.
        source: which source it came from.
        plain_bytes, plain_sha256: before zstd.
        stored_bytes, stored_sha256: after age, as it lies in a tier.
    """

    name: str
    source: str
    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str

    @property
    def stored_name(self) -> str:
        """Its name in a tier."""
        return self.name + SUFFIX


@dataclass(frozen=True, slots=True)
class Manifest:
    """A recovery point.

    Attributes:
        id: a ULID.
        started_at, finished_at: of the capture, by the backup host's clock.
        objects: everything that was copied.
        sources: what each source says of itself, see `sources/`.
        problems: what is not in the copy, and why; empty for a complete one.
        kind: `full`, `incremental` (PostgreSQL only as what changed since the parent), `logical`.
        parent: id of the recovery point that an incremental one builds on, else empty.
    """

    id: str
    subject: str
    started_at: datetime
    finished_at: datetime
    objects: tuple[ObjectRecord, ...]
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    kind: str = FULL
    parent: str = ""

    @property
    def stored_bytes(self) -> int:
        """Bytes that the copy takes in a tier, without the manifest."""
        return sum(one.stored_bytes for one in self.objects)

    @property
    def plain_bytes(self) -> int:
        """Bytes that were copied."""
        return sum(one.plain_bytes for one in self.objects)

    def record(self, name: str) -> ObjectRecord:
        """Return the object of that name.

        Raises:
            DamagedError: the manifest has none.
        """
        for one in self.objects:
            if one.name == name:
                return one
        raise DamagedError(f"recovery point {self.id} has no object {name}")

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        members = {
            "format": FORMAT,
            "version": VERSION,
            "id": self.id,
            "subject": self.subject,
            "kind": self.kind,
            "parent": self.parent,
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "complete": not self.problems,
            "problems": list(self.problems),
            "objects": [asdict(one) for one in self.objects],
            "sources": self.sources,
        }
        members["digest"] = _digest(members)
        return (json.dumps(members, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """Read a manifest back.

        Raises:
            DamagedError: it is truncated, edited or of another format.
        """
        try:
            members = json.loads(content)
            recorded = members.pop("digest")
            if (members["format"], members["version"]) != (FORMAT, VERSION):
                raise DamagedError(
                    f"manifest of format {members['format']} {members['version']}; this version "
                    f"reads {FORMAT} {VERSION}"
                )
            if recorded != _digest(members):
                raise DamagedError("manifest was edited: its digest does not match its content")
            names = [members["id"], *(one["name"] for one in members["objects"])]
            if not all(_NAME.fullmatch(name) for name in names):
                raise DamagedError("manifest has a name that leads out of its folder")
            kind, parent = members["kind"], members["parent"]
            if kind not in (FULL, INCREMENTAL, LOGICAL) or (kind == INCREMENTAL) != bool(parent):
                raise DamagedError(f"manifest of kind {kind!r} with parent {parent!r}")
            if parent and not _NAME.fullmatch(parent):
                raise DamagedError("manifest has a name that leads out of its folder")
            return cls(
                id=members["id"],
                subject=members["subject"],
                started_at=parse_rfc3339(members["started_at"]),
                finished_at=parse_rfc3339(members["finished_at"]),
                objects=tuple(ObjectRecord(**one) for one in members["objects"]),
                sources=members["sources"],
                problems=tuple(members["problems"]),
                kind=kind,
                parent=parent,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"manifest is truncated or malformed ({error})") from None


def _digest(members: dict[str, Any]) -> str:
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
