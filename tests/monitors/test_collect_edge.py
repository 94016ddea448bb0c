import contextlib
import json
import os
import random
import time
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from watching import one, samples

from monitors.collectors.edge import EdgeCollector
from monitors.collectors.follow import LogFollower
from monitors.settings import EdgeSettings


def line(
    route: str = "/product/{id}", status: int = 200, seconds: float = 0.05, method: str = "GET"
) -> str:
    entry = {"route": route, "method": method, "status": status, "request_time_s": seconds}
    return json.dumps({"time": "2026-11-22T01:02:03.004Z", **entry, "bytes_sent": 10}) + "\n"


class Edge:
    """An access log and the collector that follows it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.log = folder / "access.json"
        self.state = folder / "edge.json"
        self.settings = EdgeSettings(log=self.log, routes=("GET /product/{id}",), **settings)
        self.collector = self.restart()

    def restart(self) -> EdgeCollector:
        self.collector = EdgeCollector(self.settings, self.log, self.state)
        return self.collector

    def write(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.writelines(lines)

    def rotate(self) -> None:
        """Rename the log as nginx's operators do; what was written to it was some time ago."""
        self.log.rename(self.log.with_name("access.json.1"))
        os.utime(self.log.with_name("access.json.1"), (time.time() - 60,) * 2)

    def scrape(self) -> list[Metric]:
        return list(self.collector.collect())

    def count(self, **labels: str) -> float:
        return one(self.scrape(), "storewatch_edge_requests_total", **labels)


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    (tmp_path / "access.json").touch()
    return Edge(tmp_path)


def test_requests_are_counted_by_route_method_and_status(edge: Edge) -> None:
    edge.write(line(), line(), line(status=503), line(method="POST", route="/checkout"))
    families = edge.scrape()
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 2
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="503") == 1
    assert one(families, "storewatch_edge_requests_total", route="/checkout", method="POST") == 1


def test_known_routes_are_there_at_zero_before_the_first_request(edge: Edge) -> None:
    families = edge.scrape()
    for status in ("200", "500", "502", "503", "504"):
        assert (
            one(
                families,
                "storewatch_edge_requests_total",
                route="/product/{id}",
                method="GET",
                status=status,
            )
            == 0
        )
    count = "storewatch_edge_request_duration_seconds_count"
    assert one(families, count, route="/product/{id}", status_class="5xx") == 0


def test_latency_falls_into_buckets_with_bounds_at_both_service_levels(edge: Edge) -> None:
    edge.write(*(line(seconds=s) for s in (0.2, 0.2001, 1.9, 2.0, 11.0)))
    bucket = "storewatch_edge_request_duration_seconds_bucket"
    families = edge.scrape()

    def below(bound: str) -> float:
        return one(families, bucket, route="/product/{id}", status_class="2xx", le=bound)

    assert [below(b) for b in ("0.1", "0.2", "0.3", "2.0", "10.0", "+Inf")] == [0, 1, 2, 4, 4, 5]
    total = one(
        families, "storewatch_edge_request_duration_seconds_sum", route="/product/{id}",
        status_class="2xx",
    )  # fmt: skip
    assert total == pytest.approx(15.3001)


@pytest.mark.parametrize(
    "bad",
    [
        "not json\n",
        "[]\n",
        "7\n",
        "\n",
        '{"route": "/", "method": "GET", "status": 200}\n',
        line(status=99),
        line(status=7000),
        line(seconds=-1),
        line().replace("200", '"200"'),
        line().replace("0.05", '"0.05"'),
        line().replace('"/product/{id}"', '["/"]'),
        "\x00\xff\n",
    ],
)
def test_a_malformed_line_is_counted_and_the_next_is_understood(edge: Edge, bad: str) -> None:
    edge.write(line(), bad, line())
    families = edge.scrape()
    assert one(families, "storewatch_edge_malformed_lines_total") == 1
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 2


def test_a_line_is_counted_once_it_is_whole(edge: Edge) -> None:
    whole = line()
    edge.write(whole[:30])
    assert edge.count(route="/product/{id}", status="200") == 0
    edge.write(whole[30:])
    families = edge.scrape()
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 1
    assert one(families, "storewatch_edge_malformed_lines_total") == 0


def test_rotation_loses_nothing(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    edge.write(line())
    edge.rotate()
    edge.write(line(), line())
    assert edge.count(route="/product/{id}", status="200") == 4


def test_a_renamed_file_that_is_still_written_to_is_read_to_its_end(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    old = edge.log.open("a")
    edge.log.rename(edge.log.with_name("access.json.1"))
    edge.write(line())
    edge.scrape()
    old.write(line())  # a writer that had not reopened yet
    old.close()
    edge.scrape()
    os.utime(edge.log.with_name("access.json.1"), (time.time() - 60,) * 2)
    assert edge.count(route="/product/{id}", status="200") == 3


def test_truncation_starts_over_in_the_file_and_not_in_the_counters(edge: Edge) -> None:
    edge.write(line(), line(), line())
    edge.scrape()
    edge.log.write_text("")
    edge.scrape()
    edge.write(line())
    assert edge.count(route="/product/{id}", status="200") == 4


def test_a_restart_neither_loses_nor_counts_twice(edge: Edge) -> None:
    edge.write(line(), line(seconds=1.0))
    edge.scrape()
    edge.write(line())
    edge.restart()
    families = edge.scrape()
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 3
    name = "storewatch_edge_request_duration_seconds_count"
    assert one(families, name, route="/product/{id}", status_class="2xx") == 3
    edge.restart()
    assert samples(edge.scrape()) == samples(families)


def test_a_rotation_while_nobody_followed_loses_nothing(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    edge.write(line())
    edge.rotate()
    edge.write(line())
    edge.restart()
    assert edge.count(route="/product/{id}", status="200") == 3


def stamped(number: int) -> str:
    """Return a line that no other line equals, not even in its first bytes."""
    return line().replace("01:02:03.004", f"{number:012d}")


def test_two_rotations_while_nobody_followed_lose_nothing(edge: Edge) -> None:
    edge.write(stamped(1))
    edge.scrape()
    edge.write(stamped(2))
    first, second = (edge.log.with_name(f"access.json.{n}") for n in (2, 1))
    edge.log.rename(first)
    os.utime(first, (time.time() - 90,) * 2)
    edge.write(stamped(3), stamped(4))
    edge.log.rename(second)
    os.utime(second, (time.time() - 60,) * 2)
    edge.write(stamped(5))
    edge.restart()
    assert edge.count(route="/product/{id}", status="200") == 5


def test_copies_and_compressed_files_beside_the_log_are_not_counted(edge: Edge) -> None:
    edge.write(stamped(1))
    edge.scrape()
    for name in ("access.json.bak", "access.json.1.gz", "access.json~", "access.json.old.1"):
        edge.log.with_name(name).write_text(stamped(1) * 5)
    edge.rotate()
    edge.write(stamped(2))
    for name in ("access.json.bak", "access.json.2.gz", "access.jsonl"):
        edge.log.with_name(name).write_text(stamped(1) * 5)
    assert edge.count(route="/product/{id}", status="200") == 2


def test_a_file_truncated_and_grown_beyond_what_was_read_is_read_from_its_start(
    edge: Edge,
) -> None:
    edge.write(stamped(1), stamped(2))
    edge.scrape()
    edge.log.write_text("".join(stamped(n) for n in range(10, 15)))
    assert edge.count(route="/product/{id}", status="200") == 7


def test_another_file_under_the_old_ones_inode_is_read_from_its_start(edge: Edge) -> None:
    edge.write(stamped(1), stamped(2))
    edge.scrape()
    inode = edge.log.stat().st_ino
    edge.log.write_text("".join(stamped(n) for n in range(10, 15)))
    assert edge.log.stat().st_ino == inode  # as a file system gives it to the next file
    edge.restart()
    assert edge.count(route="/product/{id}", status="200") == 7


def test_a_line_whose_writer_died_is_counted_as_malformed_when_its_file_is_left(
    edge: Edge,
) -> None:
    edge.write(stamped(1), stamped(2)[:30])
    edge.scrape()
    edge.rotate()
    edge.write(stamped(3))
    families = edge.scrape()
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 2
    assert one(families, "storewatch_edge_malformed_lines_total") == 1


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_the_log_every_line_is_counted_once(edge: Edge, seed: int) -> None:
    chance = random.Random(seed)
    written, begun = 0, ""
    for step in range(150):
        what = chance.choice("wwwwpsssrct")
        if what in "wp":
            fresh = [stamped(written + n) for n in range(chance.randrange(1, 40))]
            written += len(fresh)
            text = begun + "".join(fresh)
            begun = text[-20:] if what == "p" else ""
            edge.write(text.removesuffix(begun))
        elif what == "s":
            edge.scrape()
        elif what == "r":
            edge.restart()
        elif what == "c" and not begun:
            for number in range(8, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    older = edge.log.with_name(f"access.json.{number}")
                    older.rename(edge.log.with_name(f"access.json.{number + 1}"))
            renamed = edge.log.rename(edge.log.with_name("access.json.1"))
            os.utime(renamed, (time.time() - 1000 + step,) * 2)
            edge.log.touch()
        elif what == "t" and not begun:
            edge.scrape()
            edge.log.write_text("")
    edge.write(begun)
    for _ in range(3):
        families = edge.scrape()
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == (
        written
    )
    assert one(families, "storewatch_edge_malformed_lines_total") == 0
    assert one(families, "storewatch_edge_backlog_bytes") == 0


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
def test_a_log_that_is_no_file_costs_the_edge_alone_and_at_once(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "access.json"
    if kind == "pipe":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    else:
        log.symlink_to(tmp_path / "none")
    edge = Edge(tmp_path)
    started = time.monotonic()
    with pytest.raises(OSError):
        edge.scrape()
    assert time.monotonic() - started < 0.5
    assert [f.name for f in edge.collector.down()] == ["storewatch_edge_up"]


def test_a_log_of_garbage_is_counted_as_such_and_in_time(edge: Edge) -> None:
    with edge.log.open("wb") as file:
        for _ in range(50):
            file.write(os.urandom(20_000) + b"\n" + b'{"route":' * 1000 + b"\n")
    edge.write(stamped(1))
    started = time.monotonic()
    families = edge.scrape()
    assert time.monotonic() - started < 1
    assert one(families, "storewatch_edge_malformed_lines_total") > 100
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 1


def test_a_file_that_vanished_with_what_was_unread_leaves_its_successor_whole(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    replacement = edge.log.with_name("new")
    replacement.write_text(line() + line())
    replacement.rename(edge.log)
    edge.restart()
    assert edge.count(route="/product/{id}", status="200") == 3


def test_new_routes_of_the_settings_count_into_the_histogram_that_was_kept(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    edge.settings = edge.settings.model_copy(
        update={"routes": ("GET /product/{id}", "HEAD /product/{id}")}
    )
    edge.restart()
    edge.write(line(method="HEAD"))
    name = "storewatch_edge_request_duration_seconds_count"
    assert one(edge.scrape(), name, route="/product/{id}", status_class="2xx") == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"position": {"inode": 1}}', b"\xff"])
def test_a_damaged_state_begins_at_the_end_of_the_log(edge: Edge, content: bytes) -> None:
    edge.write(line())
    edge.scrape()
    edge.state.write_bytes(content)
    edge.restart()
    edge.write(line())
    assert edge.count(route="/product/{id}", status="200") == 1


def test_what_happened_before_anyone_watched_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "access.json").write_text(line() * 5 + line()[:20])
    edge = Edge(tmp_path)
    edge.write(line()[20:])
    assert edge.count(route="/product/{id}", status="200") == 1


def test_a_log_that_is_not_there_yet_is_down_and_read_from_its_start_later(tmp_path: Path) -> None:
    edge = Edge(tmp_path)
    with pytest.raises(FileNotFoundError):
        edge.scrape()
    assert one(list(edge.collector.down()), "storewatch_edge_up") == 0
    edge.write(line())
    assert edge.count(route="/product/{id}", status="200") == 1


def test_routes_beyond_the_maximum_are_counted_together(tmp_path: Path) -> None:
    (tmp_path / "access.json").touch()
    edge = Edge(tmp_path, maximum_routes=10)
    edge.write(*(line(route=f"/raw/{number}") for number in range(1000)))
    families = edge.scrape()
    routes = {s.labels["route"] for f in families for s in f.samples if "route" in s.labels}
    assert len(routes) == 11
    assert one(families, "storewatch_edge_requests_total", route="other") == 991


def test_statuses_beyond_any_measure_are_counted_by_class(tmp_path: Path) -> None:
    (tmp_path / "access.json").touch()
    edge = Edge(tmp_path, maximum_routes=10)
    methods = ("GET", "POST", "PUT", "DELETE")
    edge.write(
        *(
            line(route=f"/{route}", method=method, status=status)
            for route in range(20)
            for method in methods
            for status in range(100, 600)
        )
    )
    families = edge.scrape()
    counts = [s for f in families for s in f.samples if s.name == "storewatch_edge_requests_total"]
    assert len(counts) <= 10 * 20 + 5
    assert sum(s.value for s in counts) == 20 * 4 * 500


def test_methods_nobody_knows_are_counted_together(edge: Edge) -> None:
    edge.write(*(line(method=f"M{number}", route="/") for number in range(50)))
    assert edge.count(route="/", method="other") == 50


def test_a_backlog_is_read_in_parts_and_its_rest_is_said(tmp_path: Path) -> None:
    (tmp_path / "access.json").touch()
    edge = Edge(tmp_path, maximum_bytes=1)
    edge.write(line() * 30_000)
    assert one(edge.scrape(), "storewatch_edge_backlog_bytes") > 0
    while one(families := edge.scrape(), "storewatch_edge_backlog_bytes") > 0:
        pass
    assert (
        one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200")
        == 30_000
    )


def test_a_full_disk_for_the_state_does_not_hide_the_counts(edge: Edge) -> None:
    edge.write(line())
    edge.collector._state_file = edge.state.parent / "no such folder" / "edge.json"
    assert edge.count(route="/product/{id}", status="200") == 1


def test_an_endless_line_is_skipped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 3 * 1024 * 1024 + b"\nlast\n")
    follower = LogFollower(log, None)
    follower._offset = 0
    lines = b"".join(follower.blocks()).splitlines()
    assert lines[-1] == b"last"
    assert follower.backlog_bytes() == 0
