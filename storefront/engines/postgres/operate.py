"""What operators do to the pair: promote, go on alone, resync, ask for its status."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg

from storefront.engines.postgres.config import standby_name
from storefront.engines.postgres.node import (
    Node,
    Record,
    Role,
    find_node,
    read_record,
    write_record,
)
from storefront.errors import EngineError
from storefront.settings import DATABASES, Settings


def promote(node: Node, *, timeout_s: float = 30.0) -> str:
    """Make a standby the primary; commits no longer wait for the other node.

    The record changes before the server does: if we die in between, the old primary still cannot
    start as one, and the same command finishes the work.

    Raises:
        EngineError: the peer may still be the primary, or the node is not there to be promoted.
    """
    peer_role = node.peer.role()
    if peer_role is Role.PRIMARY:
        raise EngineError(f"{node.peer.name} still answers as primary; stop it before promoting")
    if peer_role is Role.SILENT:
        raise EngineError(
            f"{node.peer.name} holds its port and gives no answer; stop it before promoting"
        )
    own_role = node.role()
    if own_role not in (Role.STANDBY, Role.PRIMARY):
        raise EngineError(f"{node.name} does not answer on port {node.port}; start it first")
    write_record(node.settings, Record(node.name, synchronous=False))
    _wait_for_commits(node, "")
    with node.connect() as connection:
        if own_role is Role.STANDBY:
            connection.execute("SELECT pg_promote(true, %s)", (int(timeout_s),))
        row = connection.execute("SELECT pg_is_in_recovery() AS standby").fetchone()
        if row is None or row["standby"]:
            raise EngineError(f"{node.name} was not promoted within {timeout_s:.0f} s; see its log")
        connection.execute("CHECKPOINT")
    return f"{node.name} is the primary"


def go_on_alone(settings: Settings) -> str:
    """Let the primary commit without its standby (the standby is lost, the shop must sell).

    Raises:
        EngineError: no node answers as primary.
    """
    node = find_primary(settings)
    write_record(settings, Record(node.name, synchronous=False))
    _wait_for_commits(node, "")
    return f"{node.name} commits without {node.peer.name}"


def resync(settings: Settings, *, timeout_s: float = 60.0) -> str:
    """Wait until the standby streams, then make commits wait for it again.

    Raises:
        EngineError: no primary answers, or the standby does not stream in time.
    """
    node = find_primary(settings)
    standby = node.peer.name
    if not _until(timeout_s, lambda: _standby_state(node, "state") == "streaming"):
        raise EngineError(
            f"{standby} does not stream from {node.name} after {timeout_s:.0f} s; start {standby},"
            f" or empty {node.peer.data} so that it is cloned"
        )
    write_record(settings, Record(node.name, synchronous=True))
    _wait_for_commits(node, standby_name(node.peer))
    if not _until(timeout_s, lambda: _standby_state(node, "sync_state") == "sync"):
        raise EngineError(f"{standby} is not synchronous after {timeout_s:.0f} s; see its log")
    return f"{standby} follows {node.name} synchronously"


def find_primary(settings: Settings) -> Node:
    """Return the node that answers as primary.

    Raises:
        EngineError: none does.
    """
    for name in DATABASES:
        node = find_node(settings, name)
        if node.role() is Role.PRIMARY:
            return node
    raise EngineError("neither db-a nor db-b answers as primary; start it or promote the standby")


def status(settings: Settings) -> dict[str, Any]:
    """Return the record and what each node says of itself."""
    record = read_record(settings)
    return {
        "recorded_primary": record.primary if record else None,
        "synchronous": record.synchronous if record else None,
        "nodes": {name: _node_status(find_node(settings, name)) for name in DATABASES},
    }


def _node_status(node: Node) -> dict[str, Any]:
    role = node.role()
    facts: dict[str, Any] = {"port": node.port, "role": role.value, "started_by": None}
    with suppress(FileNotFoundError):
        facts["started_by"] = node.started_by.read_text()
    if role not in (Role.PRIMARY, Role.STANDBY):
        return facts
    try:
        with node.connect() as connection:
            facts |= _facts(connection, role)
    except psycopg.OperationalError:
        facts["role"] = Role.SILENT.value
    return facts


def _facts(connection: psycopg.Connection[dict[str, Any]], role: Role) -> dict[str, Any]:
    if role is Role.PRIMARY:
        query = (
            "SELECT application_name AS standby, state, sync_state,"
            " coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint AS lag_bytes"
            " FROM pg_stat_replication WHERE application_name = ANY(%s)"
        )
        return {"standbys": connection.execute(query, (list(DATABASES),)).fetchall()}
    query = "SELECT status, sender_port FROM pg_stat_wal_receiver"
    return {"receiver": connection.execute(query).fetchone()}


def _standby_state(node: Node, column: str) -> str:
    with node.connect() as connection:
        row = connection.execute(
            "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = %s",
            (node.peer.name,),
        ).fetchone()
    return str(row[column]) if row else ""


def _wait_for_commits(node: Node, names: str) -> None:
    with node.connect() as connection:
        literal = psycopg.sql.Literal(names)
        connection.execute(
            psycopg.sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(literal)
        )
        connection.execute("SELECT pg_reload_conf()")


def _until(timeout_s: float, happened: Any) -> bool:
    return any(happened() for _ in _ticks(timeout_s))


def _ticks(timeout_s: float, interval_s: float = 0.25) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(interval_s)
