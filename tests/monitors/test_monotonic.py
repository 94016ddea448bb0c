from pathlib import Path

import pytest

from monitors.collectors.monotonic import MonotonicCounters


class Hands:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def counters(tmp_path: Path, clock: Hands) -> MonotonicCounters:
    return MonotonicCounters(tmp_path / "counters.json", clock)


def run(counters: MonotonicCounters, *numbers: float) -> list[float]:
    return [counters.advance("orders", {}, number) for number in numbers]


def test_what_grows_is_published_as_it_is(counters: MonotonicCounters) -> None:
    assert run(counters, 5, 5, 8) == [5, 5, 8]


def test_a_standby_that_is_behind_for_a_moment_is_waited_for(
    counters: MonotonicCounters, clock: Hands
) -> None:
    assert run(counters, 100, 98, 99) == [100, 100, 100]
    clock.now = 60
    assert run(counters, 101, 99, 103) == [101, 101, 103]


def test_data_that_stays_older_is_counted_from_where_it_is(
    counters: MonotonicCounters, clock: Hands
) -> None:
    assert run(counters, 100, 40) == [100, 100]
    clock.now = 121
    assert run(counters, 41, 42, 50) == [100, 101, 109]


def test_two_falls_add_up(counters: MonotonicCounters, clock: Hands) -> None:
    run(counters, 100, 40)
    clock.now = 121
    run(counters, 40, 45, 10)
    clock.now = 300
    assert run(counters, 10, 11) == [105, 106]


def test_flapping_between_two_nodes_counts_nothing_twice(
    counters: MonotonicCounters, clock: Hands
) -> None:
    for minute in range(100):
        clock.now = 60.0 * minute
        assert run(counters, 100, 98) == [100, 100]


def test_labels_are_counters_of_their_own(counters: MonotonicCounters) -> None:
    assert counters.advance("orders", {"a": "1", "b": "2"}, 5) == 5
    assert counters.advance("orders", {"a": "2", "b": "1"}, 3) == 3
    assert counters.advance("orders", {"b": "2", "a": "1"}, 4) == 5
    assert counters.known("orders") == [{"a": "1", "b": "2"}, {"a": "2", "b": "1"}]


def test_a_restart_goes_on(counters: MonotonicCounters, clock: Hands, tmp_path: Path) -> None:
    run(counters, 100, 40)
    clock.now = 121
    run(counters, 40)
    counters.save()
    assert run(MonotonicCounters(tmp_path / "counters.json", clock), 41) == [101]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[["a", [["b"]], 1, 2]]', b'{"a": 1}'])
def test_a_damaged_file_is_a_first_start(tmp_path: Path, clock: Hands, content: bytes) -> None:
    (tmp_path / "counters.json").write_bytes(content)
    assert run(MonotonicCounters(tmp_path / "counters.json", clock), 3) == [3]


def test_nothing_is_written_while_nothing_changes(
    counters: MonotonicCounters, tmp_path: Path
) -> None:
    run(counters, 5)
    counters.save()
    (tmp_path / "counters.json").unlink()
    counters.save()
    assert not (tmp_path / "counters.json").exists()
    run(counters, 6)
    counters.save()
    assert (tmp_path / "counters.json").stat().st_mode & 0o077 == 0
