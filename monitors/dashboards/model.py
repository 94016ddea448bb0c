"""What a dashboard is made of, apart from how Grafana writes it down."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["graph", "stat", "table"]
Colors = tuple[tuple[float, str], ...]
"""(from this value on, colour); below the first it is the base colour, green."""


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL and the legend of its series.

    `empty` says why there may be no series although all is well; without it a test fails when
    there is none.
    """

    expr: str
    legend: str = ""
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of 24 columns' `width`; `unit` is one of Grafana's.

    `bounds` colour a stat and draw lines into a graph. `alert` links to the page of an alert.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = "graph"
    width: int = 8
    description: str = ""
    bounds: Colors = ()
    alert: str = ""
    stacked: bool = False
    names: tuple[tuple[float, str, str], ...] = ()
    """(value, text, colour) of a stat, such as 1, "up", "green"."""


@dataclass(frozen=True, slots=True)
class Row:
    """A titled row of panels."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard: the values of a label of a metric."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; `uid` is also its file name and its address in Grafana."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    def panels(self) -> list[Panel]:
        """Return all panels in order."""
        return [panel for row in self.rows for panel in row.panels]


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers that panels are judged by, from the settings of alerts, backups and load tests.

    Times in seconds, shares as ratios.
    """

    response_s: float
    page_load_s: float
    error_ratio: float
    replica_lag_s: float
    payment_failure_ratio: float
    products_below_safety: float
    certificate_s: float
    disk_free_ratio_ticket: float
    disk_free_ratio_page: float
    connections_ratio: float
    transaction_age_s: float
    slot_retained_bytes: float
    backup_age_s: float
    drill_age_s: float
    recovery_time_s: float
    recovery_point_s: float
    load_p95_s: float


def either(
    title: str, query: Query, words: tuple[str, str], alert: str = "", width: int = 8
) -> Panel:
    """Return the panel of things that are bad (0) or good (1); `words` say so in this order."""
    bad, good = words
    return Panel(
        title,
        (query,),
        kind="stat",
        width=width,
        bounds=((0, "red"), (1, "green")),
        names=((0, bad, "red"), (1, good, "green")),
        alert=alert,
    )
