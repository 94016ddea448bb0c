"""Evidence on disk: `evidence/<kind>/<id>/` with its artefacts; `evidence.json` comes last."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError
from storewatch.core.evidence import KINDS, Artefact, Evidence, Measurement, new_id
from storewatch.core.targets import Verdict
from storewatch.store.files import sha256_file, sync_folder, write_atomic

MANIFEST = "evidence.json"
PROGRESS = "progress.json"
_FRESH_S = 5.0  # what was said longer ago is of a rehearsal that broke off


@dataclass(frozen=True, slots=True)
class EvidenceDraft:
    """A rehearsal under way. Artefacts are written into `folder`; `finish` makes it evidence."""

    id: str
    kind: str
    subject: str
    folder: Path
    started_at: datetime
    context: dict[str, Any]
    _started: float = field(default_factory=time.monotonic)

    def tell(self, line: Mapping[str, Any]) -> None:
        """Say how far the rehearsal is, for whoever watches (see `EvidenceStore.under_way`)."""
        said = {"id": self.id, "kind": self.kind, "subject": self.subject, **line}
        unfinished = self.folder / f".{PROGRESS}"
        unfinished.write_text(json.dumps(said))
        unfinished.replace(self.folder / PROGRESS)

    def preview(
        self,
        measurements: Iterable[Measurement],
        notes: Sequence[str] = (),
        overrides: Sequence[Verdict] = (),
    ) -> Evidence:
        """Return the evidence as a report shows it that is itself one of the artefacts."""
        return Evidence(
            id=self.id,
            kind=self.kind,
            subject=self.subject,
            started_at=self.started_at,
            duration_s=round(time.monotonic() - self._started, 3),
            measurements=tuple(measurements),
            context=self.context,
            notes=tuple(notes),
            overrides=tuple(overrides),
        )

    def finish(
        self,
        measurements: Iterable[Measurement],
        notes: Sequence[str] = (),
        overrides: Sequence[Verdict] = (),
    ) -> Evidence:
        """Hash the artefacts, write `evidence.json` and return the evidence."""
        (self.folder / PROGRESS).unlink(missing_ok=True)
        found = self.preview(measurements, notes, overrides)
        evidence = replace(found, artefacts=tuple(self._artefacts()))
        text = json.dumps(evidence.to_json(), indent=2) + "\n"
        write_atomic(self.folder / MANIFEST, text.encode(), mode=0o600)
        sync_folder(self.folder.parent)
        return evidence

    def _artefacts(self) -> Iterable[Artefact]:
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name != MANIFEST:
                yield Artefact(str(path.relative_to(self.folder)), sha256_file(path))


class EvidenceStore:
    """All evidence of one state folder.

    Args:
        home: the state folder.
        context: version, configuration hash and host, copied into each new record.
    """

    def __init__(self, home: Path, context: dict[str, Any] | None = None) -> None:
        self._root = home / "evidence"
        self._context = context or {}

    def open(
        self, kind: str, subject: str, context: Mapping[str, Any] | None = None
    ) -> EvidenceDraft:
        """Begin a record of one of `core.evidence.KINDS` about a subject (checkout/baseline).

        Args:
            kind: of `core.evidence.KINDS`.
            subject: what is rehearsed.
            context: what this record says of itself beside what all do.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of evidence; use one of {', '.join(KINDS)}")
        identifier = new_id()
        folder = self._root / kind / identifier
        folder.mkdir(parents=True, mode=0o700)
        return EvidenceDraft(
            identifier, kind, subject, folder, utc_now(), {**self._context, **(context or {})}
        )

    def list(
        self, kind: str | None = None, subject: str | None = None, limit: int | None = None
    ) -> list[Evidence]:
        """Return finished evidence, newest first, at most `limit`; no more than that is read.

        A folder without a readable record is none.
        """
        paths = self._root.glob(f"{kind or '*'}/*/{MANIFEST}")
        newest_first = sorted(paths, key=lambda path: path.parent.name, reverse=True)
        found = (self._read(path) for path in newest_first)
        return [*islice((e for e in found if e and subject in (None, e.subject)), limit)]

    def under_way(self, kind: str) -> Iterable[dict[str, Any]]:
        """Yield what the rehearsals of a kind that are under way last said of themselves."""
        for path in self._root.glob(f"{kind}/*/{PROGRESS}"):
            try:
                if time.time() - path.stat().st_mtime < _FRESH_S:
                    yield json.loads(path.read_text())
            except (OSError, ValueError):
                continue  # it has just ended

    def folder(self, evidence: Evidence) -> Path:
        """Return the folder that holds the record and its artefacts."""
        return self._root / evidence.kind / evidence.id

    def get(self, identifier: str) -> Evidence:
        """Return one record by its id.

        Raises:
            UsageError: there is none of that id.
        """
        for path in self._root.glob(f"*/{identifier}/{MANIFEST}") if identifier.isalnum() else ():
            if (evidence := self._read(path)) is not None:
                return evidence
        raise UsageError(
            f"no evidence {identifier}; `storewatch evidence list` shows what there is"
        )

    @staticmethod
    def _read(path: Path) -> Evidence | None:
        try:
            return Evidence.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None
