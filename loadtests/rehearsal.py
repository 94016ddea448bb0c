"""What is rehearsed before a launch, backwards from its day."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from loadtests.profiles import MOST_PER_S
from storewatch.core.errors import UsageError

# What is loaded beyond the forecast, which is wrong more often than the shop is.
BEYOND = 1.5
_EVENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_PEAK = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNITS_S = {"s": 1, "min": 60, "h": 3600}
_SATURDAY = 5
_LAST_DAY = date.max - timedelta(days=1)  # the review is a day later; date.max is a Friday


@dataclass(frozen=True, slots=True)
class _Step:
    """One rehearsal: days from the event, and `{...}` for what is known of it."""

    day: int
    slug: str
    title: str
    who: str
    commands: tuple[str, ...]
    done: tuple[str, ...]


_LOAD = "storewatch load run {journey} --profile {prefix}-"
# Source: requirements R8 (baseline, flash sale, soak, breaking point before every large
# promotion), R7 and R9 (drills), R10 (tests first, freeze), R5 (review). The days leave a working
# week to repair what one rehearsal finds before the next.
_STEPS = (
    _Step(
        -42, "baseline-and-breakpoint", "Baseline and breaking point", "release manager",
        # To the end: given up in the step that breaks, the run has too few loads for a capacity.
        (_LOAD + "baseline", _LOAD + "breakpoint --to-the-end",
         "storewatch load capacity --orders-per-second {beyond:g} --order-ratio 1"),
        ("the baseline ends with PASS",
         "the evidence of the capacity says `instances_needed`, and that many are ordered"),
    ),
    _Step(
        -28, "rehearsal", "Rehearsal at {share:.0%} of the peak", "release manager",
        (_LOAD + "rehearsal",),
        ("it ends with PASS; no order is lost, doubled or unpaid",
         "`time_to_recover_s` has a value"),
    ),
    _Step(
        -21, "drills", "Restore and fail-over drill", "SRE",
        ("storewatch backup run", "storewatch drill run", "storewatch drill failover"),
        ("each ends with PASS: data back within 2 h, the fail-over within 5 min",),
    ),
    _Step(
        -14, "flash-sale", "Flash sale", "release manager",
        (_LOAD + "flash-sale",),
        ("it ends with PASS, and `time_to_recover_s` has a value",),
    ),
    _Step(
        -10, "soak", "Soak over eight hours", "SRE",
        (_LOAD + "soak",),
        ("it ends with PASS", "memory, connections and disks of the shop did not grow in it"),
    ),
    _Step(
        -7, "gate", "Gate: full rehearsal, then change freeze", "release manager",
        ("storewatch check --live", _LOAD + "rehearsal",
         'storewatch load gate "$RELEASE" --policy pre-launch', "storewatch slo status"),
        ("all of them end with 0; `RELEASE` is what goes live",
         "what is released is what was rehearsed; changes are frozen"),
    ),
    _Step(
        -3, "smoke", "Smoke test at the peak", "release manager",
        (_LOAD + "smoke",),
        ("it ends with PASS",),
    ),
    _Step(
        -1, "check", "Last check", "on-call engineer",
        ("storewatch check --live", "storewatch backup run", "storewatch slo status"),
        ("all of them end with 0", "who is on call during the event is named and has answered"),
    ),
    _Step(
        1, "review", "Review", "SRE",
        ("storewatch slo status", "storewatch incident list --all", "storewatch evidence list"),
        ("the review is written; what it found has owners and dates",),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Launch:
    """What is coming.

    Attributes:
        event: its name.
        peak_per_s: journeys a second that are forecast.
        day: of the event.
        journey: that is loaded.
    """

    event: str
    peak_per_s: float
    day: date
    journey: str

    @property
    def prefix(self) -> str:
        """What its profiles begin with."""
        return self.event.lower()


@dataclass(frozen=True, slots=True)
class Ticket:
    """One rehearsal with its day.

    Attributes:
        number: from 1, in order.
        when: such as T-42.
        planned: the day that `when` says.
        due: the same, or the working day that it was moved to.
        passed: whether `due` is over.
    """

    number: int
    slug: str
    title: str
    when: str
    planned: date
    due: date
    passed: bool
    who: str
    commands: tuple[str, ...]
    done: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.number:02}-{self.slug}.md"


def launch(event: str, peak: str, day: str, journey: str, today: date) -> Launch:
    """Return what is coming, from what a person wrote.

    Raises:
        UsageError: a name, peak or date that makes no sense, or a date in the past.
    """
    if not _EVENT.fullmatch(event):
        raise UsageError(f"--event {event!r}: write letters, digits, - and _, such as DOUBLE11")
    return Launch(event, parse_peak(peak), parse_day(day, today), journey)


def parse_peak(text: str) -> float:
    """Return journeys per second.

    Raises:
        UsageError: it is no rate, or more than a profile can load.
    """
    match = _PEAK.fullmatch(text)
    per_s = float(match[1]) / _UNITS_S[match[2]] if match else 0.0
    if not per_s:
        raise UsageError(f"--peak {text!r}: write a rate above 0, such as 500/s or 30000/min")
    if per_s * BEYOND > MOST_PER_S:
        raise UsageError(
            f"--peak {text!r}: {BEYOND:.0%} of it are more than the {MOST_PER_S:g}/s that a profile"
            f" loads; write {MOST_PER_S / BEYOND:.0f}/s or less"
        )
    return per_s


def parse_day(text: str, today: date) -> date:
    """Return a day that is not over.

    Raises:
        UsageError: it is no date, in the past, or so late that its review would have none.
    """
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise UsageError(f"--date {text!r}: write year-month-day, such as 2027-11-11")
    if day < today:
        raise UsageError(f"--date {text}: is in the past; write a day from {today} on")
    if day > _LAST_DAY:
        raise UsageError(
            f"--date {text}: leaves no day for the review; write a day up to {_LAST_DAY}"
        )
    return day


def tickets(coming: Launch, today: date) -> tuple[Ticket, ...]:
    """Return the rehearsals in order; one whose day is over stays, and says so."""
    known = {
        "journey": coming.journey,
        "prefix": coming.prefix,
        "beyond": coming.peak_per_s * BEYOND,
        "share": BEYOND,
    }
    found = []
    for number, step in enumerate(_STEPS, 1):
        planned = coming.day + timedelta(days=step.day)
        due = working_day(planned, later=step.day > 0)
        found.append(
            Ticket(
                number=number,
                slug=step.slug,
                title=step.title.format(**known),
                when=f"T{step.day:+d}",
                planned=planned,
                due=due,
                passed=due < today,
                who=step.who,
                commands=tuple(one.format(**known) for one in step.commands),
                done=step.done,
            )
        )
    return tuple(found)


def working_day(day: date, *, later: bool = False) -> date:
    """Return the day, or the Friday before a weekend; with `later` the Monday after it."""
    beyond = day.weekday() - _SATURDAY
    if beyond < 0:
        return day
    return day + timedelta(days=2 - beyond if later else -1 - beyond)


def profiles(coming: Launch) -> Mapping[str, Mapping[str, Any]]:
    """Return the profiles that the tickets name, as `loadtests.profiles` takes them."""

    def rate(share: float) -> float:
        return float(f"{coming.peak_per_s * share:.6g}")

    shapes: dict[str, dict[str, Any]] = {
        "baseline": {"rate": rate(0.2), "warm_up": "1m", "hold": "10m"},
        # Up to twice the peak in eight steps: enough of them for load capacity.
        "breakpoint": {
            "shape": "steps", "rate": rate(0.25), "by": rate(0.25), "steps": 8, "hold": "2m",
        },
        "rehearsal": {
            "shape": "rehearsal", "peak": rate(1), "factor": BEYOND, "rise": "5m", "hold": "30m",
            "fall": "1m", "recovery": "10m",
        },
        "flash-sale": {
            "shape": "spike", "rate": rate(BEYOND / 10), "factor": 10, "rise": "10s",
            "hold": "5m", "fall": "1m", "recovery": "10m",
        },
        "soak": {"rate": rate(0.5), "warm_up": "1m", "hold": "8h"},
        "smoke": {"rate": rate(1), "warm_up": "1m", "hold": "10m"},
    }  # fmt: skip
    return {f"{coming.prefix}-{name}": one for name, one in shapes.items()}
