"""Evidence of rehearsals: the newest of each kind and subject; and load tests under way."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Protocol

from prometheus_client.core import Metric

from monitors.collectors.load import load_families
from monitors.families import gauge, value
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

_MAXIMUM_SUBJECTS = 200


class EvidenceSource(Protocol):
    """Where evidence comes from; `storewatch.store.evidence.EvidenceStore` is one."""

    def list(self, kind: str | None = None, subject: str | None = None) -> Sequence[Evidence]:
        """Return finished evidence, newest first."""

    def under_way(self, kind: str) -> Iterable[dict[str, Any]]:
        """Yield what the rehearsals of a kind that are under way last said of themselves."""


class EvidenceCollector:
    """The newest evidence of each kind and subject, and load tests under way."""

    name = "evidence"

    def __init__(self, source: EvidenceSource, timeout_s: float = 1.5) -> None:
        self.timeout_s = timeout_s
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Read the evidence and publish the newest, and when each subject last passed."""
        newest: dict[tuple[str, str], Evidence] = {}
        passed: dict[tuple[str, str], Evidence] = {}
        for evidence in self._source.list():
            key = (evidence.kind, evidence.subject)
            if len(newest) < _MAXIMUM_SUBJECTS or key in newest:
                newest.setdefault(key, evidence)
                if evidence.verdict is Verdict.PASS:
                    passed.setdefault(key, evidence)
        yield value("storewatch_evidence_up", "Whether evidence could be read.", 1)
        yield from self._families(list(newest.values()), list(passed.values()))
        yield from load_families(self._source.under_way("load"))

    def down(self) -> Iterable[Metric]:
        """Say that evidence could not be read."""
        yield value("storewatch_evidence_up", "Whether evidence could be read.", 0)

    @staticmethod
    def _families(newest: Sequence[Evidence], passed: Sequence[Evidence]) -> Iterable[Metric]:
        yield gauge(
            "storewatch_evidence_verdict",
            "1 for the verdict of the newest evidence, 0 for the others.",
            [
                ({**_subject(e), "verdict": verdict.value}, float(e.verdict is verdict))
                for e in newest
                for verdict in Verdict
            ],
        )
        yield gauge(
            "storewatch_evidence_measurement",
            "A measurement of the newest evidence, in the unit of its name.",
            [
                ({**_subject(e), "name": m.name}, m.value)
                for e in newest
                for m in e.measurements
                if m.value is not None
            ],
        )
        yield gauge(
            "storewatch_evidence_timestamp_seconds",
            "Unix time at which the newest evidence was complete.",
            [(_subject(e), _finished(e)) for e in newest],
        )
        yield gauge(
            "storewatch_evidence_last_pass_timestamp_seconds",
            "Unix time at which the newest evidence with verdict PASS was complete.",
            [(_subject(e), _finished(e)) for e in passed],
        )


def _subject(evidence: Evidence) -> dict[str, str]:
    return {"kind": evidence.kind, "subject": evidence.subject}


def _finished(evidence: Evidence) -> float:
    return (evidence.started_at + timedelta(seconds=evidence.duration_s)).timestamp()
