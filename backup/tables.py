"""What a table holds, as a number of rows and a checksum that a restore must show again.

While a base backup runs, orders keep coming and their states keep changing, and the restored
server shows the moment at which the backup *ended*. To be comparable by exact equality, a table is
measured

- over columns that never change once a row exists (`columns`), and
- over the rows that had come before a *boundary* (`settled_by` < boundary, in the row itself or in
  its parent, as order lines have the time of their order). The boundary lies
  before the start of every transaction that was under way when the measuring snapshot was taken, so
  no row below it can appear later: every transaction that could insert one has ended.

All measurements of a backup are taken in one REPEATABLE READ snapshot before the base backup
begins, so the restored server contains at least that. Rows above the boundary and changing columns
are covered by pg_verifybackup's file checksums and by the shop's invariants, not by this checksum.
Rows of such a table are never deleted: one that was would be missing from the restored table.
A table that is dropped, truncated or rewritten while the base backup runs is not compared, and the
manifest says so (`not_compared`); it is in the backup as it was at its end.

Formula: checksum = sum over rows of the first 64 bits (signed) of SHA-256 of the row's text
`ROW(columns)::text`, as a decimal number; independent of the order of rows.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

_SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}

_MEASURE = sql.SQL(
    """SELECT count(*), coalesce(sum(
         ('x' || left(encode(sha256(convert_to(ROW({columns})::text, 'UTF8')), 'hex'), 16))
         ::bit(64)::bigint::numeric), 0)::text
       FROM {table} t"""
)


@dataclass(frozen=True, slots=True)
class TableRecord:
    """One table as the backup saw it.

    Attributes:
        columns: the measured columns, in order.
        settled_by: the column compared with the boundary; None when the whole table is measured.
        parent: (table, key, our column) when settled_by is a column of the parent row.
        rows, checksum: see the module.
    """

    name: str
    columns: tuple[str, ...]
    settled_by: str | None
    parent: tuple[str, str, str] | None
    rows: int
    checksum: str

    def to_json(self) -> dict[str, Any]:
        """Return the record for the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "TableRecord":
        """Read a record back."""
        parent = raw["parent"] and tuple(raw["parent"])
        return cls(**{**raw, "columns": tuple(raw["columns"]), "parent": parent})


def identifier(name: str) -> sql.Identifier:
    """Return `table` or `schema.table` as a quoted identifier."""
    return sql.Identifier(*name.split(".", 1))


def same_text_everywhere(connection: psycopg.Connection[Any]) -> None:
    """Fix the settings that the text form of values depends on."""
    for name, value in _SESSION.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def all_columns(connection: psycopg.Connection[Any], table: str) -> tuple[str, ...]:
    """Return the columns of a table in their order."""
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
        "AND NOT attisdropped ORDER BY attnum",
        (identifier(table).as_string(connection),),
    ).fetchall()
    return tuple(row[0] for row in rows)


def measure(
    connection: psycopg.Connection[Any],
    table: str,
    columns: Sequence[str],
    settled_by: str | None,
    parent: tuple[str, str, str] | None,
    boundary: datetime,
) -> TableRecord:
    """Count and checksum the settled rows of a table.

    Raises:
        psycopg.Error: the table or a column is not there.
    """
    names = tuple(columns) or all_columns(connection, table)
    listed = sql.SQL(", ").join(sql.Identifier("t", name) for name in names)
    statement = _MEASURE.format(columns=listed, table=identifier(table))
    condition = _settled(settled_by, parent, boundary)
    row = connection.execute(sql.Composed([statement, condition])).fetchone()
    assert row is not None
    return TableRecord(table, names, settled_by, parent, row[0], row[1])


def stored_in(connection: psycopg.Connection[Any], table: str) -> str:
    """Return which files hold a table; it changes when it is truncated, rewritten or made anew.

    Empty when there is no such table.
    """
    row = connection.execute(
        """SELECT c.oid, c.relfilenode, ARRAY(
             SELECT (p.oid, p.relfilenode)::text FROM pg_partition_tree(c.oid) t
             JOIN pg_class p ON p.oid = t.relid ORDER BY p.oid)
           FROM pg_class c WHERE c.oid = to_regclass(%s)""",
        (identifier(table).as_string(connection),),
    ).fetchone()
    return "" if row is None else str(row)


def _settled(
    settled_by: str | None, parent: tuple[str, str, str] | None, boundary: datetime
) -> sql.Composable:
    if settled_by is None:
        return sql.SQL("")
    moment = sql.Literal(boundary)
    if parent is None:
        return sql.SQL(" WHERE {} < {}").format(sql.Identifier("t", settled_by), moment)
    table, key, column = parent
    return sql.SQL(" WHERE EXISTS (SELECT FROM {} p WHERE {} = {} AND {} < {})").format(
        identifier(table),
        sql.Identifier("p", key),
        sql.Identifier("t", column),
        sql.Identifier("p", settled_by),
        moment,
    )
