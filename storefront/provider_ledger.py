"""The ledger of one payment provider: a SQLite file that survives restarts."""

import sqlite3
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS captures (
  idempotency_key TEXT PRIMARY KEY,
  order_id        TEXT NOT NULL,
  amount_cents    INTEGER NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('captured', 'failed', 'voided', 'refunded')),
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


class Ledger:
    """One row per idempotency key; the first word under a key is final, but for a refund."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_SCHEMA)

    def settle(self, key: str, order_id: str, amount_cents: int, state: str) -> dict[str, Any]:
        """Write the state under the key unless one is there, and return what is there then.

        Args:
            key: the idempotency key.
            order_id: whose money; empty for a tombstone laid before any capture came.
            amount_cents: how much; 0 for a tombstone.
            state: captured, failed or voided.
        """
        self._connection.execute(
            "INSERT INTO captures (idempotency_key, order_id, amount_cents, state)"
            " VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (key, order_id, amount_cents, state),
        )
        entry = self.entry(key)
        assert entry is not None
        return entry

    def refund(self, key: str) -> dict[str, Any] | None:
        """Turn a capture into a refund; return the entry, None when there is none."""
        self._connection.execute(
            "UPDATE captures SET state = 'refunded'"
            " WHERE idempotency_key = ? AND state = 'captured'",
            (key,),
        )
        return self.entry(key)

    def entry(self, key: str) -> dict[str, Any] | None:
        """Return the entry under a key."""
        row = self._connection.execute(
            "SELECT order_id, idempotency_key, amount_cents, state FROM captures"
            " WHERE idempotency_key = ?",
            (key,),
        ).fetchone()
        return dict(row) if row else None

    def entries(self) -> list[dict[str, Any]]:
        """Return the whole ledger, oldest first."""
        rows = self._connection.execute(
            "SELECT order_id, idempotency_key, amount_cents, state FROM captures ORDER BY rowid"
        )
        return [dict(row) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
