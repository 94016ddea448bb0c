"""Incidents: what the desk makes of alerts. Every delivery may come twice, late or not at all."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, RowMapping, case, func, insert, select, update

from alerting.incident import Alert, Event, Incident
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import UsageError
from storewatch.core.evidence import new_id
from storewatch.core.parts import Delivery, IncidentTally, Labels
from storewatch.store.tables import incidents, timeline

OPEN, ACKNOWLEDGED, RESOLVED = "open", "acknowledged", "resolved"
# What makes a transaction see nobody else's half-done work; one writer at a time is plenty here.
_WRITE_ALONE = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "LOCK TABLE incidents IN SHARE ROW EXCLUSIVE MODE",
}


class IncidentBook:
    """All incidents, in the state database. Every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def receive(self, alerts: Iterable[Alert]) -> dict[str, int]:
        """Take in delivered alerts; return how many were opened, updated, resolved.

        The same delivery twice changes nothing; an alert that fires again after its incident was
        resolved (a new start) opens another one. A new start whose predecessor was not resolved
        goes on with the incident that is there; what then still comes of the old start is ignored.
        """
        counts = {"opened": 0, "updated": 0, "resolved": 0}
        for alert in alerts:
            with self._writing() as connection:
                if outcome := _take_in(connection, alert):
                    counts[outcome] += 1
        return counts

    def list(self, *, unresolved_only: bool = False) -> list[Incident]:
        """Return incidents, newest first, without their time lines."""
        query = select(incidents).order_by(incidents.c.id.desc())
        if unresolved_only:
            query = query.where(incidents.c.state != RESOLVED)
        with self._engine.connect() as connection:
            return [_incident(row) for row in connection.execute(query).mappings()]

    def tallies(self) -> Sequence[IncidentTally]:
        """Return how many incidents were opened and how many are unresolved, by severity."""
        unresolved = func.sum(case((incidents.c.state != RESOLVED, 1), else_=0))
        query = select(incidents.c.severity, func.count(), unresolved)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(incidents.c.severity)).all()
        return [IncidentTally(severity, opened, left) for severity, opened, left in rows]

    def get(self, identifier: str) -> Incident:
        """Return one incident with its time line; the end of an id is enough when it is unique.

        Raises:
            UsageError: there is none, or more than one.
        """
        with self._engine.connect() as connection:
            matching = incidents.c.id.endswith(identifier.upper(), autoescape=True)
            rows = connection.execute(select(incidents).where(matching)).mappings().all()
            if len(rows) != 1 or not identifier:
                found = "no incident" if not rows else f"{len(rows)} incidents"
                raise UsageError(
                    f"{found} with id {identifier!r}; `storewatch incident list` prints the ids"
                )
            query = select(timeline).where(timeline.c.incident_id == rows[0]["id"])
            events = connection.execute(query.order_by(timeline.c.id)).mappings()
            return _incident(rows[0], tuple(_event(row) for row in events))

    def acknowledge(self, identifier: str, who: str) -> Incident:
        """Note that somebody is on it.

        Raises:
            UsageError: unknown, or resolved already.
        """
        return self._close_in(identifier, who, ACKNOWLEDGED)

    def resolve(self, identifier: str, who: str) -> Incident:
        """End an incident by hand.

        Raises:
            UsageError: unknown, or resolved already.
        """
        return self._close_in(identifier, who, RESOLVED)

    def settle(self, identifiers: Iterable[str]) -> int:
        """Resolve incidents whose alert Alertmanager no longer knows; return how many.

        Args:
            identifiers: the incidents; those resolved meanwhile are left alone.
        """
        text = "Alertmanager no longer knows the alert; no resolve notice had come"
        with self._writing() as connection:
            return sum(_end(connection, identifier, text) for identifier in identifiers)

    def deliveries(self, labels: Labels, since_unix_s: float) -> Sequence[Delivery]:
        """Return incidents that carry all these labels, opened since then, oldest first."""
        query = (
            select(incidents.c.id, incidents.c.labels, timeline.c.kind, timeline.c.unix_s)
            .join(timeline, timeline.c.incident_id == incidents.c.id)
            .where(timeline.c.kind.in_(("opened", RESOLVED)))
            .order_by(incidents.c.id, timeline.c.id)
        )
        moments: dict[str, dict[str, float]] = {}
        carried: dict[str, dict[str, str]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                carried[row["id"]] = json.loads(row["labels"])
                moments.setdefault(row["id"], {})[row["kind"]] = row["unix_s"]
        return [
            Delivery(identifier, carried[identifier], found["opened"], found.get(RESOLVED))
            for identifier, found in moments.items()
            if found.get("opened", 0.0) >= since_unix_s
            and labels.items() <= carried[identifier].items()
        ]

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_WRITE_ALONE[self._engine.dialect.name])
            yield connection

    def _close_in(self, identifier: str, who: str, state: str) -> Incident:
        incident = self.get(identifier)
        with self._writing() as connection:
            if state == RESOLVED:
                done = _end(connection, incident.id, f"resolved by {who}")
            else:
                done = _change(connection, incident.id, state, acknowledged_at=rfc3339(utc_now()))
                if done:
                    _note(connection, incident.id, state, f"acknowledged by {who}")
        changed = self.get(incident.id)
        if not done:
            raise UsageError(f"incident {incident.id} was resolved at {changed.resolved_at}")
        return changed


def _take_in(connection: Connection, alert: Alert) -> str | None:
    """Return opened, updated or resolved; None when the alert tells nothing new."""
    mine = incidents.c.fingerprint == alert.fingerprint
    same = select(incidents).where(mine & (incidents.c.starts_at == alert.starts_at))
    unresolved = select(incidents).where(mine & (incidents.c.state != RESOLVED))
    row = (
        connection.execute(same).mappings().first()
        or connection.execute(unresolved).mappings().first()
    )
    if row is None:
        identifier = _open(connection, alert)
        if alert.firing:
            return "opened"
        _end(connection, identifier, "resolved before the desk heard of it")
        return "resolved"
    if row["state"] == RESOLVED or alert.starts_at < row["starts_at"]:
        return None
    if not alert.firing:
        _end(connection, row["id"], "resolved by Alertmanager")
        return "resolved"
    summary = alert.annotations.get("summary", row["summary"])
    if alert.starts_at > row["starts_at"]:
        _note(connection, row["id"], "updated", "fires anew; its end was not told")
    elif summary == row["summary"]:
        return None
    _change(connection, row["id"], row["state"], starts_at=alert.starts_at, summary=summary)
    if summary != row["summary"]:
        _note(connection, row["id"], "updated", summary)
    return "updated"


def _open(connection: Connection, alert: Alert) -> str:
    identifier = new_id()
    summary = alert.annotations.get("summary", alert.name)
    connection.execute(
        insert(incidents).values(
            id=identifier,
            fingerprint=alert.fingerprint,
            alert=alert.name[:200],
            severity=alert.labels.get("severity", "none")[:20],
            state=OPEN,
            summary=summary,
            runbook=alert.annotations.get("runbook", "")[:200],
            labels=json.dumps(dict(alert.labels), sort_keys=True),
            starts_at=alert.starts_at,
            opened_at=rfc3339(utc_now()),
        )
    )
    _note(connection, identifier, "opened", summary)
    return identifier


def _end(connection: Connection, identifier: str, text: str) -> bool:
    """Resolve an incident; False when it was resolved already."""
    done = _change(connection, identifier, RESOLVED, resolved_at=rfc3339(utc_now()))
    if done:
        _note(connection, identifier, RESOLVED, text)
    return done


def _change(connection: Connection, identifier: str, state: str, **values: str) -> bool:
    """Change an incident that is not resolved; False when it is."""
    mine = (incidents.c.id == identifier) & (incidents.c.state != RESOLVED)
    changed = connection.execute(update(incidents).where(mine).values(state=state, **values))
    return bool(changed.rowcount)


def _note(connection: Connection, identifier: str, kind: str, text: str) -> None:
    moment = {"at": rfc3339(utc_now()), "unix_s": time.time()}
    entry = {"incident_id": identifier, "kind": kind, "text": text, **moment}
    connection.execute(insert(timeline).values(entry))


def _incident(row: RowMapping, events: tuple[Event, ...] = ()) -> Incident:
    return Incident(**{**row, "labels": json.loads(row["labels"])}, timeline=events)


def _event(row: RowMapping) -> Event:
    return Event(row["at"], row["unix_s"], row["kind"], row["text"])
