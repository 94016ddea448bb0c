"""Recurring maintenance: when nobody is told, and what error budgets leave out.

A window is compiled twice from the same times: for Alertmanager, which mutes, and for Prometheus,
whose record `storewatch_maintenance_active` keeps the time out of the budgets.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from alerting.matchers import MatcherText, all_match, not_empty
from storewatch.schema import Section

ACTIVE = "storewatch_maintenance_active"
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
"""As Prometheus' day_of_week() counts them."""

GROUP = "storewatch-maintenance"
_CLOCK = "storewatch_week_minute"

_TIMES = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY_MIN = 24 * 60
# Clock changes are written into the rules: PromQL knows no time zones. The years are fixed so that
# equal settings give equal rules.
_CLOCK_CHANGES_UNTIL = datetime(2038, 1, 1, tzinfo=UTC)

Span = tuple[int, int, int]
"""Day of the week, first minute, minute after the last."""


def _times(text: str) -> str:
    match = _TIMES.fullmatch(text)
    if match is None or _minutes(text)[0] == _minutes(text)[1] or _minutes(text)[1] > _DAY_MIN:
        raise ValueError("no times of a day; write 02:00-04:00, or 22:00-02:00 into the next day")
    return text


def _minutes(text: str) -> tuple[int, int]:
    first, second, third, fourth = (int(part) for part in re.split("[:-]", text))
    return first * 60 + second, third * 60 + fourth


def _day(text: str) -> str:
    if text.lower() not in DAYS:
        raise ValueError(f"no day of the week; write one of {', '.join(DAYS)}")
    return text.lower()


def _zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("no time zone; write a name such as UTC or Europe/Berlin")
    return text


_Day = Annotated[str, AfterValidator(_day)]
_Times = Annotated[str, AfterValidator(_times)]


class MaintenanceSettings(Section):
    """A recurring time in which the shop may be worked on."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    weekdays: Annotated[tuple[_Day, ...], AfterValidator(not_empty)] = DAYS
    """Days on which it begins."""
    times: Annotated[tuple[_Times, ...], AfterValidator(not_empty)]
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    matchers: tuple[MatcherText, ...] = ()
    """Which alerts are muted, and which SLOs are left alone by their labels; none: all."""
    budget: bool = True
    """Whether the time is left out of error budgets."""

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Self:
        covered = {
            (day, minute) for day, begin, end in self.spans() for minute in range(begin, end)
        }
        if len(covered) == 7 * _DAY_MIN:
            raise ValueError("the whole week; a window must end")
        return self

    def spans(self) -> list[Span]:
        """Return the window by days; what runs into the next day is two spans."""
        found = set()
        for text in self.times:
            begin, end = _minutes(text)
            for name in self.weekdays:
                day = DAYS.index(name)
                if begin < end:
                    found.add((day, begin, end))
                    continue
                found.add((day, begin, _DAY_MIN))
                if end:
                    found.add(((day + 1) % 7, 0, end))
        return sorted(found)

    def active(self, moment: datetime) -> bool:
        """Return whether a moment (aware) is inside."""
        local = moment.astimezone(ZoneInfo(self.time_zone))
        day, minute = local.isoweekday() % 7, local.hour * 60 + local.minute
        return any(day == one and begin <= minute < end for one, begin, end in self.spans())

    def concerns(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet its matchers."""
        return all_match(self.matchers, labels)


def time_interval(window: MaintenanceSettings) -> dict[str, Any]:
    """Return a window as Alertmanager's time interval.

    Source: Alertmanager's documentation, "Configuration / <time_interval>".
    """
    return {
        "name": window.name,
        "time_intervals": [
            {
                "weekdays": [DAYS[day]],
                "times": [{"start_time": _clock(begin), "end_time": _clock(end)}],
                "location": window.time_zone,
            }
            for day, begin, end in window.spans()
        ],
    }


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def maintenance_group(windows: tuple[MaintenanceSettings, ...]) -> list[dict[str, Any]]:
    """Return the rule group that says which windows are active: 1 or 0, at any time."""
    if not windows:
        return []
    clocks = [
        {"record": _CLOCK, "expr": _week_minute(zone), "labels": {"time_zone": zone}}
        for zone in sorted({window.time_zone for window in windows})
    ]
    active = [
        {"record": ACTIVE, "expr": _active_expr(window), "labels": {"window": window.name}}
        for window in windows
    ]
    return [{"name": GROUP, "rules": [*clocks, *active]}]


def _active_expr(window: MaintenanceSettings) -> str:
    clock = f'{_CLOCK}{{time_zone="{window.time_zone}"}}'
    spans = [
        f"({clock} >= bool {day * _DAY_MIN + begin}) * ({clock} < bool {day * _DAY_MIN + end})"
        for day, begin, end in window.spans()
    ]
    return f"max without (time_zone) ({' + '.join(spans)})"


def _week_minute(zone: str) -> str:
    """Return the minute of a zone's week in PromQL; the first week began on a Thursday, day 4."""
    minute = f"floor((vector(time()) + {_offset(zone)}) / 60)"
    return f"({minute} + {4 * _DAY_MIN}) % {7 * _DAY_MIN}"


def _offset(name: str) -> str:
    """Return a zone's offset from UTC in seconds, now, in PromQL."""
    changes = list(_clock_changes(ZoneInfo(name)))
    first = _offset_s(ZoneInfo(name), datetime(2025, 1, 1, tzinfo=UTC))
    steps = "".join(
        f" {'+' if by > 0 else '-'} {abs(by)} * (time() >= bool {at})" for at, by in changes
    )
    return f"({first}{steps})"


def _clock_changes(zone: ZoneInfo) -> Iterable[tuple[int, int]]:
    """Return when a zone's offset changes (unix time), and by how many seconds."""
    moment, step = datetime(2025, 1, 1, tzinfo=UTC), timedelta(days=1)
    while moment < _CLOCK_CHANGES_UNTIL:
        before, after = _offset_s(zone, moment), _offset_s(zone, moment + step)
        if before != after:
            yield _exact_change(zone, moment, moment + step), after - before
        moment += step


def _exact_change(zone: ZoneInfo, begin: datetime, end: datetime) -> int:
    before = _offset_s(zone, begin)
    while end - begin > timedelta(seconds=1):
        middle = begin + (end - begin) // 2
        middle = middle.replace(microsecond=0)
        if _offset_s(zone, middle) == before:
            begin = middle
        else:
            end = middle
    return int(end.timestamp())


def _offset_s(zone: ZoneInfo, moment: datetime) -> int:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
