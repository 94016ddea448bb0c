"""The business in figures: queries of a file, asked of whichever database node answers."""

import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from prometheus_client.core import Metric

from monitors.collectors.asker import Asker
from monitors.collectors.monotonic import MonotonicCounters
from monitors.families import counter, gauge, value
from monitors.queries import MAXIMUM_SERIES, BusinessQuery, Maximum
from monitors.settings import BusinessSettings, PostgresSettings

_log = logging.getLogger(__name__)

_UP = "Whether the business's figures could be asked for."
_LEAST_S = 0.05
"""Less time than this is not worth beginning a query."""
_MARGIN_S = 0.2
"""Kept back of the collector's time for the queries that were answered."""
_UNASKED_S = 600.0
"""Queries with an interval of their own rest when nobody has scraped for so long."""


@dataclass(slots=True)
class Outcome:
    """The newest run of a query; `samples` are those of the newest run that succeeded."""

    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)
    succeeded_at: float | None = None
    begun: float = -math.inf
    duration_s: float = 0.0
    dropped_rows: int = 0
    failed: bool = False


class BusinessCollector:
    """All queries: those without an interval at each scrape, the others beside it.

    Args:
        settings: how long a scrape may take.
        queries: what is asked.
        database: its nodes.
        counters: keep counters from falling.
        clock: Unix seconds.
    """

    name = "business"

    def __init__(
        self,
        settings: BusinessSettings,
        queries: Sequence[BusinessQuery],
        database: PostgresSettings,
        counters: MonotonicCounters,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.timeout_s = settings.timeout
        self._queries = tuple(queries)
        self._counters = counters
        self._clock = clock
        self._asker = Asker(database, "storewatch-business")
        self._slow_asker = Asker(database, "storewatch-business-slow")
        self._outcomes = {query.name: Outcome() for query in queries}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._beside: threading.Thread | None = None
        self._asked = 0.0
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """Run the queries of the scrape; one that fails is left out and named, the others stand.

        Raises:
            psycopg.Error: no node answers.
        """
        self._asked = time.monotonic()
        deadline = self._asked + self.timeout_s - _MARGIN_S
        self._asker.rows("SELECT 1", min(1.0, self.timeout_s), 1)
        self._ask_beside()
        for query in self._queries:
            if query.interval is None:
                self._run(query, self._asker, deadline)
                if not self._asker.answers:
                    raise psycopg.OperationalError("no node of the database answers")
        with self._lock, contextlib.suppress(OSError):  # a full disk hides no figure
            self._counters.save()
        yield value("storewatch_business_up", _UP, 1)
        yield from self._runs()
        for query in self._queries:
            yield from self._family(query)

    def down(self) -> Iterable[Metric]:
        """Say that no node answers."""
        yield value("storewatch_business_up", _UP, 0)

    def try_query(self, query: BusinessQuery) -> tuple[int, int]:
        """Run one query now and return its series and the rows that were dropped; keep nothing.

        Raises:
            psycopg.Error: it was refused or took too long, or no node answers.
            ValueError: what it returned is no metric.
        """
        rows = self._asker.rows(query.sql, query.timeout, MAXIMUM_SERIES + 1)
        samples, dropped = self._samples(query, rows)
        return len(samples), dropped

    def _ask_beside(self) -> None:
        """Let queries with an interval run in a thread of their own."""
        if (self._beside is None or not self._beside.is_alive()) and any(
            query.interval for query in self._queries
        ):
            self._beside = threading.Thread(target=self._loop, name="business", daemon=True)
            self._beside.start()

    def _loop(self) -> None:
        pause = threading.Event()
        while time.monotonic() - self._asked < _UNASKED_S:
            waits = []
            for query in self._queries:
                if query.interval is None:
                    continue
                if time.monotonic() - self._outcomes[query.name].begun >= query.interval:
                    self._run(query, self._slow_asker, math.inf)
                next_run = self._outcomes[query.name].begun + query.interval
                waits.append(next_run - time.monotonic())
            pause.wait(max(0.05, min(waits)))
        self._slow_asker.close()

    def _run(self, query: BusinessQuery, asker: Asker, deadline: float) -> None:
        """Run one query within its time, before the deadline (monotonic), and keep what came."""
        outcome = self._outcomes[query.name]
        outcome.begun = time.monotonic()
        timeout_s = min(query.timeout, deadline - outcome.begun)
        try:
            if timeout_s < _LEAST_S:
                raise TimeoutError("there was no time left for it in this scrape")
            rows = asker.rows(query.sql, timeout_s, MAXIMUM_SERIES + 1)
            samples, dropped = self._samples(query, rows)
        except (psycopg.Error, ValueError, TypeError, OSError) as error:
            if not outcome.failed:
                _log.warning("query %s: %s", query.name, str(error).partition("\n")[0])
            outcome.failed = True
        else:
            with self._lock:
                outcome.samples, outcome.dropped_rows = self._published(query, samples), dropped
                outcome.succeeded_at, outcome.failed = self._clock(), False
        outcome.duration_s = time.monotonic() - outcome.begun

    def _samples(
        self, query: BusinessQuery, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[list[tuple[dict[str, str], float]], int]:
        """Return what rows are worth and how many had label values that are not admitted.

        Raises:
            ValueError: the columns are not those that were declared, or a value is no number.
        """
        if len(rows) > MAXIMUM_SERIES:
            raise ValueError(f"more than {MAXIMUM_SERIES} rows; group by a bounded set")
        found: dict[tuple[str, ...], float] = {}
        dropped = 0
        for row in rows:
            if set(row) != {*query.labels, "value"}:
                raise ValueError(
                    f"its columns are {', '.join(row)}; wanted are value and the declared labels"
                )
            if row["value"] is None:
                continue
            number = float(row["value"])
            if not math.isfinite(number):
                raise ValueError(f"its value is {number}")
            labels = {name: str(row[name]) for name in query.labels}
            if not self._admit(query, labels):
                dropped += 1
                continue
            key = tuple(labels.values())
            if key in found:
                raise ValueError(f"two rows are labelled {', '.join(key) or 'alike'}")
            found[key] = number
        for key in _declared(query):
            found.setdefault(key, query.default or 0.0)
        return [(dict(zip(query.labels, k, strict=True)), n) for k, n in found.items()], dropped

    def _admit(self, query: BusinessQuery, labels: Mapping[str, str]) -> bool:
        """Tell whether all values are declared, or among the first of a label with a maximum."""
        fresh = []
        for name, content in labels.items():
            values = query.labels[name]
            if not isinstance(values, Maximum):
                if content not in values:
                    return False
                continue
            seen = self._seen.setdefault((query.name, name), set())
            if content not in seen:
                if len(seen) >= values.maximum:
                    return False
                fresh.append((seen, content))
        for seen, content in fresh:
            seen.add(content)
        return True

    def _published(
        self, query: BusinessQuery, samples: list[tuple[dict[str, str], float]]
    ) -> list[tuple[dict[str, str], float]]:
        if query.type == "gauge":
            return samples
        present = [labels for labels, _ in samples]
        gone = [
            labels
            for labels in self._counters.known(query.name)
            if labels not in present and labels.keys() == query.labels.keys()
        ]
        return [
            (labels, self._counters.advance(query.name, labels, number))
            for labels, number in (*samples, *((labels, 0.0) for labels in gone))
        ]

    def _family(self, query: BusinessQuery) -> Iterable[Metric]:
        outcome = self._outcomes[query.name]
        if outcome.succeeded_at is None:
            return
        age_s = self._clock() - outcome.succeeded_at
        if outcome.failed if query.interval is None else age_s > query.stale_after_s:
            return
        kind = counter if query.type == "counter" else gauge
        yield kind(query.name, query.help, outcome.samples)

    def _runs(self) -> Iterable[Metric]:
        run = {name: outcome for name, outcome in self._outcomes.items() if outcome.begun > 0}
        for name, documentation, read in _PER_QUERY:
            yield gauge(name, documentation, [({"query": q}, read(o)) for q, o in run.items()])
        yield gauge(
            "storewatch_business_query_last_run_timestamp_seconds",
            "Unix time at which the query last succeeded.",
            [
                ({"query": query}, outcome.succeeded_at)
                for query, outcome in run.items()
                if outcome.succeeded_at is not None
            ],
        )


_PER_QUERY: tuple[tuple[str, str, Callable[[Outcome], float]], ...] = (
    (
        "storewatch_business_query_failed",
        "Whether the newest run was refused, too slow, or returned what is no metric.",
        lambda outcome: outcome.failed,
    ),
    (
        "storewatch_business_query_duration_seconds",
        "Time of the newest run.",
        lambda outcome: outcome.duration_s,
    ),
    (
        "storewatch_business_query_dropped_rows",
        "Rows left out because a label's value is not admitted.",
        lambda outcome: outcome.dropped_rows,
    ),
)


def _declared(query: BusinessQuery) -> Iterable[tuple[str, ...]]:
    """Return the label values that are published even where no row brings them."""
    if query.type == "gauge" and query.default is None:
        return ()
    values = [v for v in query.labels.values() if not isinstance(v, Maximum)]
    return itertools.product(*values) if len(values) == len(query.labels) else ()
