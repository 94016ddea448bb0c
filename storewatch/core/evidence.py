"""Evidence: the one record of every rehearsal. A target, a measurement, a verdict."""

import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storewatch.core.clock import parse_rfc3339, rfc3339
from storewatch.core.targets import Target, Verdict, worst

KINDS = (
    *("load", "capacity", "backup", "drill", "proof", "patrol", "release", "report", "demo"),
    *("verify", "canary", "prune", "sync", "failover", "sabotage"),
    *("comparison", "gate"),
)

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """Return a ULID: 48 bits of milliseconds and 80 random bits, sortable by time.

    Source: the ULID specification (Crockford's base 32, 26 characters).
    """
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number, its unit, and the target it is judged by (None: reported only)."""

    name: str
    value: float | None
    unit: str
    target: Target | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The value judged by the target; None without a target."""
        return None if self.target is None else self.target.judge(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return the measurement in the form of design.md."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "target": None if self.target is None else str(self.target),
            "verdict": self.verdict,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Measurement":
        """Read a measurement back; its verdict is computed again."""
        target = None if raw["target"] is None else Target.parse(raw["target"])
        return cls(raw["name"], raw["value"], raw["unit"], target)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file beside the evidence, relative to its folder."""

    path: str
    sha256: str

    def to_json(self) -> dict[str, str]:
        """Return path and hash."""
        return {"path": self.path, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The record of one rehearsal.

    `overrides` are verdicts that no measurement carries, such as INVALID for a saturated generator;
    each comes with its reason in `notes`.
    """

    id: str
    kind: str
    subject: str
    started_at: datetime
    duration_s: float
    measurements: tuple[Measurement, ...]
    artefacts: tuple[Artefact, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    overrides: tuple[Verdict, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the measurements' verdicts and the overrides; without any, INCONCLUSIVE."""
        return worst([m.verdict for m in self.measurements if m.verdict] + list(self.overrides))

    def value(self, name: str) -> float | None:
        """Return the value of the measurement of that name, None when it was not taken."""
        return next((m.value for m in self.measurements if m.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return the record in the form of design.md."""
        return {
            "id": self.id,
            "kind": self.kind,
            "subject": self.subject,
            "verdict": self.verdict,
            "started_at": rfc3339(self.started_at),
            "duration_s": self.duration_s,
            "measurements": [m.to_json() for m in self.measurements],
            "artefacts": [a.to_json() for a in self.artefacts],
            "context": self.context,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Evidence":
        """Read a record back; its stored verdict is kept as an override."""
        return cls(
            id=raw["id"],
            kind=raw["kind"],
            subject=raw["subject"],
            started_at=parse_rfc3339(raw["started_at"]),
            duration_s=raw["duration_s"],
            measurements=tuple(Measurement.from_json(m) for m in raw["measurements"]),
            artefacts=tuple(Artefact(a["path"], a["sha256"]) for a in raw["artefacts"]),
            context=raw["context"],
            notes=tuple(raw["notes"]),
            overrides=(Verdict(raw["verdict"]),),
        )
