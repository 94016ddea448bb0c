"""What can be restored to which moment is told from names alone."""

from datetime import UTC, datetime, timedelta

import pytest

from backup.manifest import Manifest
from backup.recovery.bases import Base
from backup.wal.archive import Archive, Gap, collect, find_gaps
from backup.wal.names import Segment, WalFile, format_lsn, parse_history, parse_lsn
from backup.wal.reach import reach_of

SIZE = 16 << 20
T0 = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def archive(*numbers: tuple[int, int]) -> Archive:
    """An archive of (timeline, number), a minute apart."""
    found = Archive("7000000000000000001")
    for timeline, number in numbers:
        name = Segment(number, timeline).name(SIZE)
        found.add(WalFile.make(name, T0 + timedelta(minutes=number), f"{number:064x}"))
    return found


def base(timeline: int, number: int) -> Base:
    """A base backup that ends in the middle of a segment."""
    manifest = Manifest("01A", "shop", T0, T0, ())
    return Base(manifest, timeline, number * SIZE + SIZE // 2, T0, "7000000000000000001", SIZE)


CASES = {
    "no WAL at all": ((1, 5), (), 0, ""),
    "all of one timeline": ((1, 5), ((1, 6), (1, 7)), 7, ""),
    "a hole": ((1, 5), ((1, 6), (1, 8)), 6, "000000010000000000000007"),
    "the base's own segment is not needed": ((1, 5), ((1, 4), (1, 6)), 6, ""),
    "a hole right behind the base": ((1, 5), ((1, 7),), 0, "000000010000000000000006"),
    "through a promotion": ((1, 5), ((1, 6), (1, 7), (2, 7), (2, 8)), 8, ""),
    "a lost end of the old timeline": ((1, 5), ((1, 6), (1, 9), (2, 7), (2, 8)), 8, ""),
    "a promotion in the base's last segment": ((1, 5), ((2, 5), (2, 6)), 6, ""),
    "a hole at the promotion": ((1, 5), ((1, 6), (2, 8)), 6, "000000010000000000000007"),
    "a base on what a promotion left behind": ((1, 9), ((1, 10), (2, 7), (2, 8)), 10, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_the_wal_behind_a_base_backup_leads_as_far_as_it_goes(case: str) -> None:
    start, numbers, minutes, missing = CASES[case]
    reach = reach_of(base(*start), archive(*numbers))
    assert (reach.until, reach.missing) == (T0 + timedelta(minutes=minutes), missing)


def test_gaps_are_between_what_is_there_also_across_timelines() -> None:
    found = [Segment(1, 1), Segment(2, 1), Segment(4, 1), Segment(4, 2), Segment(7, 3)]
    assert find_gaps(found) == [
        Gap(Segment(2, 1), Segment(4, 1)),
        Gap(Segment(4, 2), Segment(7, 3)),
    ]


def test_a_listing_becomes_ranges_by_timeline() -> None:
    ranges = archive((1, 1), (1, 2), (1, 4), (2, 4)).ranges(SIZE)
    assert [(one.first, one.last) for one in ranges] == [
        (Segment(1, 1), Segment(2, 1)),
        (Segment(4, 1), Segment(4, 1)),
        (Segment(4, 2), Segment(4, 2)),
    ]
    assert ranges[0].until == T0 + timedelta(minutes=2)


def test_the_same_name_with_other_bytes_is_a_problem_and_with_the_same_is_none() -> None:
    name, start = Segment(1, 1).name(SIZE), "shop/wal/7/"
    files = [WalFile.make(name, T0, digit * 64) for digit in "aab"]
    later = WalFile.make(name, T0 + timedelta(minutes=1), "a" * 64)
    keys = [f"{start}00000001/{one.file}" for one in (*files, later)]
    assert collect(keys[:2] + keys[3:], start, "7").problems == []
    assert "is there twice with different bytes" in collect(keys, start, "7").problems[0]


def test_keys_that_are_no_wal_are_passed_over() -> None:
    keys = ["shop/wal/7/wal.json", "shop/wal/7/00000001/x", "shop/wal/7/00000002/y.zst.age"]
    assert collect(keys, "shop/wal/7/", "7").files == {}


@pytest.mark.parametrize("size", [1 << 20, 16 << 20, 1 << 30])
def test_names_of_segments_are_read_and_written_as_postgresql_does(size: int) -> None:
    for number in (1, 255, 256, 4095, 4096, 70_000):
        segment = Segment(number, 18)
        assert Segment.parse(segment.name(size), size) == segment
    assert Segment(260, 1).name(SIZE) == "000000010000000100000004"
    assert format_lsn(parse_lsn("1/4000028")) == "1/4000028"


def test_a_history_file_is_read() -> None:
    content = b"1\t0/A000198\tno recovery target specified\n2\t0/B000000\tbefore\n"
    forks = parse_history(content, 3)
    assert [(one.timeline, format_lsn(one.position)) for one in forks] == [
        (1, "0/A000198"),
        (2, "0/B000000"),
    ]
