"""Our host, PostgreSQL and Redis beside node_exporter, postgres_exporter and redis_exporter.

The same backend is asked by both. What we publish under their names has their type, their labels
and their value; every name with their prefix is theirs.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from loopback import free_port, until
from watching import PASSWORD, Node, Pair

from monitors.collectors.host import HostCollector
from monitors.collectors.postgres.collector import PostgresCollector
from monitors.collectors.redis import RedisCollector
from monitors.exposition import exposition
from monitors.families import Collector
from monitors.settings import HostSettings, RedisSettings
from storewatch.tools import find_program

Series = frozenset[tuple[str, str]]
_SAMPLE = re.compile(r"([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
REFERENCE = (Path(__file__).parents[2] / "docs/reference/metrics-and-alerts.md").read_text()

# Names of postgres_exporter's releases after Debian's 0.11.1, with the file each is written in.
# Source: github.com/prometheus-community/postgres_exporter, folder collector/.
NEWER = {
    "pg_replication_lag_seconds": ("pg_replication.go", "gauge"),
    "pg_replication_is_replica": ("pg_replication.go", "gauge"),
    "pg_postmaster_start_time_seconds": ("pg_postmaster.go", "gauge"),
    "pg_replication_slot_slot_is_active": ("pg_replication_slot.go", "gauge"),
    "pg_replication_slot_slot_current_wal_lsn": ("pg_replication_slot.go", "gauge"),
    "pg_replication_slot_safe_wal_size_bytes": ("pg_replication_slot.go", "gauge"),
    "pg_wal_segments": ("pg_wal.go", "gauge"),
    "pg_wal_size_bytes": ("pg_wal.go", "gauge"),
    "pg_database_wraparound_age_datfrozenxid_seconds": ("pg_database_wraparound.go", "gauge"),
    **{
        f"pg_stat_checkpointer_{name}_total": ("pg_stat_checkpointer.go", "counter")
        for name in (
            "num_timed", "num_requested", "restartpoints_timed", "restartpoints_req",
            "restartpoints_done", "write_time", "sync_time", "buffers_written",
        )
    },
    **{
        f"pg_stat_bgwriter_{name}_total": ("pg_stat_bgwriter.go", "counter")
        for name in ("buffers_clean", "maxwritten_clean", "buffers_alloc")
    },
    **{
        f"pg_stat_user_tables_{name}": ("pg_stat_user_tables.go", "counter")
        for name in (
            "seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd",
            "n_tup_del", "n_tup_hot_upd", "autovacuum_count", "autoanalyze_count",
        )
    },
    **{
        f"pg_stat_user_tables_{name}": ("pg_stat_user_tables.go", "gauge")
        for name in (
            "n_live_tup", "n_dead_tup", "n_mod_since_analyze", "last_autovacuum",
            "last_autoanalyze",
        )
    },
}  # fmt: skip

# Values that cannot be compared from two scrapes: a moment's own, or moved by asking.
MOMENTARY = {
    "node_time_seconds", "node_procs_running", "node_procs_blocked", "node_filefd_allocated",
    "pg_stat_activity_count", "pg_stat_activity_max_tx_duration", "pg_locks_count",
    "pg_stat_database_numbackends", "pg_stat_replication_pg_wal_lsn_diff",
    "redis_connected_clients", "redis_mem_clients_normal",
}  # fmt: skip


class Page:
    """A page of metrics: types by name, values by name and labels."""

    def __init__(self, text: str, ignored_label: str = "") -> None:
        self.types: dict[str, str] = {}
        self.values: dict[str, dict[Series, float]] = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                self.types[name] = kind
            elif not line.startswith("#"):
                match = _SAMPLE.fullmatch(line)
                assert match, line
                labels = frozenset(
                    (k, v) for k, v in _LABEL.findall(match[2] or "") if k != ignored_label
                )
                self.values.setdefault(match[1], {})[labels] = float(match[3])

    def labels(self, name: str) -> set[str]:
        return {label for series in self.values.get(name, {}) for label, _ in series}


def ours(collector: Collector) -> Page:
    return Page(exposition(collector.collect()).decode(), "node")


@contextmanager
def peer(name: str, *arguments: str, **environment: str) -> Iterator[Callable[[], Page]]:
    """Run a real exporter and yield a scrape of it."""
    port = free_port()
    process = subprocess.Popen(
        [str(find_program(name)), *arguments, f"--web.listen-address=127.0.0.1:{port}"],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    session = requests.Session()
    session.trust_env = False

    def scrape() -> Page:
        answer = session.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert answer.status_code == 200
        return Page(answer.text, "server")

    def answers() -> bool:
        try:
            return bool(scrape().types)
        except requests.ConnectionError:
            return False

    try:
        until(answers)
        yield scrape
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[Page, Page, Page]]:
    collector = HostCollector(HostSettings())
    with peer("node_exporter") as scrape:
        yield ours(collector), scrape(), ours(collector)


@pytest.fixture(scope="module")
def redis(cache: int) -> Iterator[tuple[Page, Page, Page]]:
    collector = RedisCollector(RedisSettings(port=cache, password=PASSWORD))
    argument = f"--redis.addr=redis://127.0.0.1:{cache}"
    with peer("redis_exporter", argument, REDIS_PASSWORD=PASSWORD) as scrape:
        yield ours(collector), scrape(), ours(collector)


def both_of(pair: Pair, node: Node, index: int) -> tuple[Page, Page, Page]:
    settings = pair.settings()
    collector = PostgresCollector(settings, settings.nodes[index])
    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{node.port}/shop?sslmode=disable"
    with peer("postgres_exporter", DATA_SOURCE_NAME=url) as scrape:
        return ours(collector), scrape(), ours(collector)


@pytest.fixture(scope="module")
def primary(pair: Pair) -> tuple[Page, Page, Page]:
    with pair.primary.connect("shop") as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('orphan', true)")
    try:
        return both_of(pair, pair.primary, 0)
    finally:
        with pair.primary.connect("shop") as connection:
            connection.execute("SELECT pg_drop_replication_slot('orphan')")


@pytest.fixture(scope="module")
def standby(pair: Pair) -> tuple[Page, Page, Page]:
    return both_of(pair, pair.standby, 1)


BACKENDS = ("host", "redis", "primary", "standby")


@pytest.fixture(params=BACKENDS)
def pages(request: pytest.FixtureRequest) -> tuple[Page, Page, Page]:
    """Our page, theirs, and ours again, all of the same backend."""
    found: tuple[Page, Page, Page] = request.getfixturevalue(request.param)
    return found


def test_much_is_shared(
    host: tuple[Page, ...], redis: tuple[Page, ...], primary: tuple[Page, ...]
) -> None:
    shared = [
        len(mine.types.keys() & theirs.types.keys()) for mine, theirs, _ in (host, redis, primary)
    ]
    assert shared[0] > 90
    assert shared[1] > 75
    assert shared[2] > 25


def test_a_name_that_both_publish_has_the_same_type(pages: tuple[Page, Page, Page]) -> None:
    mine, theirs, _ = pages
    shared = mine.types.keys() & theirs.types.keys()
    assert {name: mine.types[name] for name in shared} == {n: theirs.types[n] for n in shared}


def test_a_name_that_both_publish_has_all_of_their_labels(pages: tuple[Page, Page, Page]) -> None:
    mine, theirs, _ = pages
    shared = mine.values.keys() & theirs.values.keys()
    lacking = {name: theirs.labels(name) - mine.labels(name) for name in shared}
    assert {name: labels for name, labels in lacking.items() if labels} == {}


def test_series_that_both_publish_have_the_same_value(pages: tuple[Page, Page, Page]) -> None:
    """Theirs lies between two of ours, with room for what statistics are late by."""
    before, theirs, after = pages
    apart, compared = [], 0
    for name in (before.values.keys() & theirs.values.keys()) - MOMENTARY:
        for series, value in theirs.values[name].items():
            if series in before.values[name] and series in after.values.get(name, {}):
                ends = before.values[name][series], after.values[name][series]
                room = 0.05 * max(map(abs, ends)) + 100 * (theirs.types.get(name) != "gauge")
                compared += 1
                if not min(ends) - room <= value <= max(ends) + room:
                    apart.append((name, sorted(series), value, ends))
    assert apart == []
    assert compared > 20


def test_every_name_with_their_prefix_is_theirs(pages: tuple[Page, Page, Page]) -> None:
    mine, theirs, _ = pages
    kinds = {name: kind for name, (_, kind) in NEWER.items()}
    claimed = {n: k for n, k in mine.types.items() if not n.startswith("storewatch_")}
    known: Mapping[str, str] = {**kinds, **theirs.types}
    assert {name: kind for name, kind in claimed.items() if known.get(name) != kind} == {}


def test_every_name_is_in_the_reference(pages: tuple[Page, Page, Page]) -> None:
    written = set(re.findall(r"\b[a-z]+_[A-Za-z0-9_]+\*?", REFERENCE))
    prefixes = tuple(name.rstrip("*") for name in written if name.endswith("*"))
    names = {re.sub(r"_total$", "", name) for name in pages[0].types}
    missing = {
        n for n in names if n not in written and f"{n}_total" not in written
        and not n.startswith(prefixes)
    }  # fmt: skip
    assert missing == set()
