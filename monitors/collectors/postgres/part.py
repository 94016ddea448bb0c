"""What is asked of a PostgreSQL node: one query, and which of its columns are which metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric

from monitors.families import Kind

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A column that is a metric's value; rows in which it is NULL have no sample.

    `kind` is a function of `monitors.families`: gauge, counter (`_total` is added), plain_counter
    or unknown.
    """

    column: str
    metric: str
    kind: Kind
    help: str


@dataclass(frozen=True, slots=True)
class Part:
    """One query: `fields` are its values, `labels` the columns that tell its rows apart.

    `since` and `before` bound the server's version (server_version_num), `requires` is an SQL
    expression that must be true on the node.
    """

    name: str
    sql: str
    fields: tuple[Field, ...]
    labels: tuple[str, ...] = ()
    since: int = 0
    before: int = 1_000_000
    requires: str = "true"

    def fits(self, version: int) -> bool:
        """Tell whether a server of that version understands the query."""
        return self.since <= version < self.before

    def families(self, rows: Sequence[Row], node: Mapping[str, str]) -> Iterable[Metric]:
        """Return the rows as metrics; `node` are the labels that name the server."""
        for field in self.fields:
            yield field.kind(
                field.metric,
                field.help,
                [
                    (
                        {**node, **{label: str(row[label] or "") for label in self.labels}},
                        float(row[field.column]),
                    )
                    for row in rows
                    if row[field.column] is not None
                ],
            )


def columns(view: str, kind: Kind, *names: str) -> tuple[Field, ...]:
    """Return fields for columns of a statistics view, named as postgres_exporter names them."""
    return tuple(Field(name, f"{view}_{name}", kind, f"{name} of {view}.") for name in names)
