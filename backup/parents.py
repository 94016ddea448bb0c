"""The base backups that later ones build on, as the backup host remembers them.

`<spool>/parents/<id>.json` says what was backed up, `<id>.manifest` is PostgreSQL's own
backup_manifest, which an incremental backup begins with. Both are kept only when every tier holds
the recovery point whole; without them the next backup is a full one.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from storewatch.core.clock import parse_rfc3339
from storewatch.store.files import sync_folder, write_atomic

_KEPT = 2


@dataclass(frozen=True, slots=True)
class Parent:
    """A base backup that every tier holds whole.

    Attributes:
        id: of its recovery point.
        parent: of the recovery point that it builds on itself, empty for a full one.
        finished_at: by the backup host's clock.
        full_at: when the full backup at the end of its chain was finished.
        system_identifier, timeline, stop_lsn, major: of the database then.
    """

    id: str
    parent: str
    finished_at: str
    full_at: str
    system_identifier: str
    timeline: int
    stop_lsn: str
    major: int

    def age_of_full_s(self, now_s: float) -> float:
        """Return seconds since the full backup of its chain."""
        return now_s - parse_rfc3339(self.full_at).timestamp()


@dataclass(frozen=True, slots=True)
class Server:
    """The database that is to be backed up now.

    Attributes:
        system_identifier, timeline, major: of it.
        summarizes: it keeps WAL summaries (summarize_wal).
    """

    system_identifier: str
    timeline: int
    major: int
    summarizes: bool


class Parents:
    """The folder of them.

    Args:
        spool: of the settings.
    """

    def __init__(self, spool: Path) -> None:
        self._folder = spool / "parents"

    def newest(self) -> Parent | None:
        """Return the newest base backup; none when nothing readable is there."""
        for file in sorted(self._folder.glob("*.json"), reverse=True):
            try:
                return Parent(**json.loads(file.read_text()))
            except (OSError, ValueError, TypeError):
                continue
        return None

    def manifest(self, identifier: str) -> Path | None:
        """Return its backup_manifest, none when it is not there."""
        file = self._folder / f"{identifier}.manifest"
        return file if file.is_file() else None

    def keep(self, parent: Parent, manifest: Path) -> None:
        """Remember a base backup; the manifest is moved. Older ones are forgotten."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        manifest.replace(self._folder / f"{parent.id}.manifest")
        content = json.dumps(asdict(parent)).encode()
        write_atomic(self._folder / f"{parent.id}.json", content, mode=0o600)
        for old in sorted(self._folder.glob("*.json"), reverse=True)[_KEPT:]:
            old.unlink()
            old.with_suffix(".manifest").unlink(missing_ok=True)
        sync_folder(self._folder)


def major(version: str) -> int:
    """Return the major version of a server_version such as 18.6 or 18beta1."""
    digits = "".join(c if c.isdigit() else " " for c in version).split()
    return int(digits[0]) if digits else 0


def choose_parent(
    parents: Parents,
    server: Server,
    now_s: float,
    full_every_s: float,
    in_every_tier: Callable[[str], str],
) -> tuple[Parent | None, str]:
    """Return what an incremental backup may build on, or None and why it must be a full one.

    After a promotion it must be a full one: WAL summaries that a standby made can cover WAL that it
    never replayed, and blocks that changed would be missing from the backup without a word.
    Source: PostgreSQL commit 5787f8785c (Fix WAL summary boundary checks for incremental backups)
    and the patch "Summarize only replayed WAL on a standby", docs/adr.
    """
    newest = parents.newest()
    if full_every_s <= 0:
        return None, "full_every is 0"
    if not server.summarizes:
        return None, "summarize_wal is off"
    if newest is None:
        return None, "no earlier base backup is known on this host"
    if parents.manifest(newest.id) is None:
        return None, f"the backup_manifest of {newest.id} is missing in the spool"
    if newest.system_identifier != server.system_identifier:
        return None, f"{newest.id} is of another database"
    if newest.timeline != server.timeline:
        return None, f"the timeline changed since {newest.id} (a promotion)"
    if newest.major != server.major:
        return None, f"{newest.id} is of PostgreSQL {newest.major}"
    if not 0 <= newest.age_of_full_s(now_s) < full_every_s:
        return None, "the last full one is older than full_every"
    if missing := in_every_tier(newest.id):
        return None, missing
    return newest, ""
