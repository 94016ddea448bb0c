"""What stays, by values alone: rules, chains, pins, and a clock that nobody should trust."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from backup.clocks import Seen, clock_doubts, manifest_doubts
from backup.manifest import FULL, INCREMENTAL, LOGICAL, Manifest
from backup.retention import Point, chain, id_time, judge
from backup.tiers.settings import RetentionSettings
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.evidence import new_id

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def point(name: str, age: timedelta, **more: Any) -> Point:
    return Point(name, NOW - age, more.pop("kind", FULL), **more)


def kept(points: list[Point], **policy: Any) -> list[str]:
    judged = judge(points, RetentionSettings.model_validate(policy), NOW)
    return [name for name, one in judged.items() if one.kept]


def test_the_newest_stay_by_count() -> None:
    points = [point(f"p{n}", n * DAY) for n in range(5)]
    assert kept(points, last=2) == ["p1", "p0"]


def test_the_young_stay_by_age_and_until_when_is_told() -> None:
    points = [point(f"p{n}", n * DAY) for n in range(5)]
    judged = judge(points, RetentionSettings.model_validate({"last": 1, "within": "60h"}), NOW)
    assert [name for name, one in judged.items() if one.kept] == ["p2", "p1", "p0"]
    assert judged["p2"].until == NOW + DAY / 2
    assert judged["p0"].reasons == ["number 1 of the newest 1", "young"]


def test_grandfather_father_and_son_keep_the_newest_of_each_period() -> None:
    hourly = [point(f"{NOW - h * DAY / 24:%Y%m%dT%H}", h * DAY / 24) for h in range(24 * 800)]
    names = kept(hourly, daily=3, weekly=2, monthly=3, yearly=2)
    assert names == [
        "20251231T23",  # the year 2025
        "20260930T23",  # September
        "20261031T23",  # October
        "20261115T23",  # the week before
        "20261120T23",
        "20261121T23",
        "20261122T12",  # today, this week, this month, this year
    ]


def test_a_period_without_a_recovery_point_takes_no_place() -> None:
    points = [point("today", DAY * 0), point("old", 40 * DAY), point("older", 41 * DAY)]
    assert kept(points, daily=2) == ["old", "today"]


def test_a_parent_stays_as_long_as_what_builds_on_it() -> None:
    points = [
        point("full", 9 * DAY),
        point("one", 8 * DAY, kind=INCREMENTAL, parent="full"),
        point("two", 7 * DAY, kind=INCREMENTAL, parent="one"),
        point("other", 6 * DAY),
        point("new", 1 * DAY, kind=INCREMENTAL, parent="two"),
    ]
    assert kept(points, last=1) == ["full", "one", "two", "new"]


def test_a_copy_whose_parent_is_missing_takes_nobodys_place() -> None:
    points = [
        point("full", 3 * DAY),
        point("broken", 2 * DAY, kind=INCREMENTAL, parent="lost"),
    ]
    judged = judge(points, RetentionSettings(last=1), NOW)
    assert judged["full"].kept
    assert "its chain is broken here" in judged["broken"].reasons[0]
    older = [*points, point("very old", 9 * DAY, kind=INCREMENTAL, parent="lost")]
    assert kept(older, last=1) == ["full", "broken"]


def test_a_partial_copy_takes_nobodys_place() -> None:
    points = [
        point("old", 3 * DAY),
        point("whole", 2 * DAY),
        point("partial", 1 * DAY, complete=False),
    ]
    assert kept(points, last=1) == ["whole", "partial"]
    assert kept([*points, point("newest", DAY * 0)], last=1) == ["newest"]


def test_a_dump_takes_no_place_of_a_base_backup() -> None:
    points = [
        point("base", 3 * DAY),
        point("dump 1", 2 * DAY, kind=LOGICAL),
        point("dump 2", 1 * DAY, kind=LOGICAL),
    ]
    assert kept(points, last=1) == ["base", "dump 2"]


def test_pinned_and_immutable_ones_stay() -> None:
    points = [
        point("pinned", 900 * DAY, pinned="audit of 2024"),
        point("locked", 800 * DAY, immutable_until=NOW + DAY),
        point("was locked", 700 * DAY, immutable_until=NOW - DAY),
        point("new", 0 * DAY),
    ]
    judged = judge(points, RetentionSettings(last=1), NOW)
    assert judged["pinned"].reasons == ["pinned: audit of 2024"]
    assert judged["locked"].until == NOW + DAY
    assert not judged["was locked"].kept


def test_without_a_policy_everything_stays() -> None:
    judged = judge([point("old", 9999 * DAY)], None, NOW)
    assert judged["old"].kept


@pytest.mark.parametrize("policy", [{}, {"within": "7d"}, {"last": 0}, {"minimum": 3}])
def test_a_policy_that_would_delete_everything_in_the_end_is_refused(
    policy: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError, match="delete every recovery point"):
        RetentionSettings.model_validate(policy)


def test_a_circle_of_parents_is_no_chain() -> None:
    one, two = point("one", DAY, parent="two"), point("two", DAY, parent="one")
    assert chain(one, {"one": one, "two": two}) is None


def test_an_id_tells_its_time() -> None:
    born = id_time(new_id())
    assert born is not None
    assert abs(born - utc_now()) < timedelta(seconds=2)
    assert id_time("wal") is None
    assert id_time("IIIIIIIIIIIIIIIIIIIIIIIIII") is None
    assert id_time("Z" * 26) is None


def at(moment: datetime, since_boot_s: float = 0.0, boot: str = "b") -> Seen:
    return Seen(rfc3339(moment), boot, since_boot_s)


def test_a_clock_that_agrees_with_everything_is_trusted() -> None:
    times = [NOW - n * DAY for n in range(9)]
    assert clock_doubts(at(NOW, 7200), at(NOW - DAY / 12, 0), NOW, times) == []


DOUBTS = {
    "another clock than the tier's": (at(NOW), None, NOW - DAY, [], "the tier's"),
    "before what was seen": (at(NOW), at(NOW + DAY), NOW, [], "was at"),
    "a leap ahead": (at(NOW, 60), at(NOW - DAY, 0), NOW, [], "0:01:00 have passed"),
    "a year without backups": (
        at(NOW),
        None,
        NOW,
        [NOW - 365 * DAY, NOW - 366 * DAY],
        "the clock leapt or backups have ceased",
    ),
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_clock_that_jumped_is_not_trusted(doubt: str) -> None:
    current, last, tier, captured, said = DOUBTS[doubt]
    (found,) = clock_doubts(current, last, tier, captured)
    assert said in found


def test_another_boot_tells_nothing_of_the_time_that_passed() -> None:
    assert clock_doubts(at(NOW, 60, "c"), at(NOW - 9 * DAY, 0), NOW, []) == []


def test_times_that_contradict_each_other_are_noticed() -> None:
    now = utc_now()
    good = Manifest(new_id(), "shop", now, now + timedelta(seconds=2), ())
    assert manifest_doubts(good, now) == []
    (found,) = manifest_doubts(replace(good, started_at=now - DAY), now)
    assert "its id says" in found
    (found,) = manifest_doubts(replace(good, finished_at=now + DAY), now)
    assert "in the future" in found
    (found,) = manifest_doubts(replace(good, finished_at=now - timedelta(seconds=9)), now)
    assert "ended before it began" in found
    assert "no ULID" in manifest_doubts(replace(good, id="newest"), now)[0]
