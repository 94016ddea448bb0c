"""Every line of the edge's log is counted once, whatever happens to the log."""

import contextlib
import os
import random
import time
from pathlib import Path

import pytest
from edge_log import Edge, line, stamped
from watching import one, samples

from monitors.collectors.follow import LogFollower


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


def test_a_file_that_vanished_with_what_was_unread_leaves_its_successor_whole(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    replacement = edge.log.with_name("new")
    replacement.write_text(line() + line())
    replacement.rename(edge.log)
    edge.restart()
    assert edge.count(route="/product/{id}", status="200") == 3


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


def test_an_endless_line_is_skipped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 3 * 1024 * 1024 + b"\nlast\n")
    follower = LogFollower(log, None)
    follower._offset = 0
    lines = b"".join(follower.blocks()).splitlines()
    assert lines[-1] == b"last"
    assert follower.backlog_bytes() == 0
