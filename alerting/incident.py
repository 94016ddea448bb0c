"""What an alert and an incident are; the book that keeps them is in incidents.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storewatch.core.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of Alertmanager's webhook v4 or API v2."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str
    firing: bool

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "unnamed")


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of an incident's time line."""

    at: str
    unix_s: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert that somebody has to see to, from its first delivery to its end."""

    id: str
    fingerprint: str
    alert: str
    severity: str
    state: str
    summary: str
    runbook: str
    labels: Mapping[str, str]
    starts_at: str
    opened_at: str
    acknowledged_at: str | None
    resolved_at: str | None
    timeline: tuple[Event, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the incident as one JSON object."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        events = [{"at": e.at, "kind": e.kind, "text": e.text} for e in self.timeline]
        return {**fields, "labels": dict(self.labels), "timeline": events}


def normal_moment(text: str) -> str:
    """Return Alertmanager's moment in one form, so that its API and its webhook agree.

    Raises:
        ValueError: no RFC 3339 moment.
    """
    return rfc3339(datetime.fromisoformat(text))
