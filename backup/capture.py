"""Stream sources into sealed objects in the spool."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backup.manifest import INCREMENTAL, Manifest, ObjectRecord
from backup.progress import Progress
from backup.seal import Sink, sealing
from backup.settings import BackupSettings
from backup.sources.source import Source
from backup.spool import Spool
from storewatch.core.clock import utc_now


class Capture:
    """All sources, one after another, sealed into the spool."""

    def __init__(
        self, settings: BackupSettings, lent: Spool, recipients: list[Any], progress: Progress
    ) -> None:
        self._settings = settings
        self._spool = lent
        self._recipients = recipients
        self._progress = progress
        self._objects: list[ObjectRecord] = []

    def run(self, identifier: str, sources: Sequence[Source], kind: str) -> Manifest:
        """Capture the sources and return what was captured.

        Args:
            identifier: of the recovery point.
            sources: in order.
            kind: `full` (it may become `incremental`) or `logical`.

        Raises:
            BackupError: a source has no usable copy.
        """
        started_at = utc_now()
        facts: dict[str, dict[str, Any]] = {}
        problems: list[str] = []
        for source in sources:
            captured = source.capture(self._opener(source.name))
            facts[source.name] = captured.facts
            problems.extend(captured.problems)
        parent = facts.get("postgres", {}).get("parent", "")
        return Manifest(
            id=identifier,
            subject=self._settings.subject,
            started_at=started_at,
            finished_at=utc_now(),
            objects=tuple(self._objects),
            sources=facts,
            problems=tuple(problems),
            kind=INCREMENTAL if parent else kind,
            parent=parent,
        )

    def _opener(self, source: str) -> Any:
        @contextmanager
        def open_object(name: str, estimate: int | None) -> Iterator[Sink]:
            record = ObjectRecord(name, source, 0, "", 0, "")
            path: Path = self._spool.folder / record.stored_name
            self._spool.guard(0)

            def watch(plain_bytes: int) -> None:
                self._progress(f"seal {name}", plain_bytes, estimate)

            level = self._settings.zstd_level
            with sealing(path, self._recipients, level, watch, self._spool.guard) as sink:
                yield sink
            assert sink.sizes is not None
            sizes = sink.sizes
            self._objects.append(
                ObjectRecord(
                    name,
                    source,
                    sizes.plain_bytes,
                    sizes.plain_sha256,
                    sizes.stored_bytes,
                    sizes.stored_sha256,
                )
            )

        return open_object
