"""The rehearsal schedule before a launch: days, profiles, tickets and their commands."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from launches import DOUBLE11, EARLY, by_slug, commands, made, parsed, settings_of

from loadtests.capacity import loads
from loadtests.plan import Plan
from loadtests.profiles import RECOVERY
from loadtests.rehearsal import Launch, launch, profiles, tickets, working_day
from loadtests.rehearsal_files import SCHEDULE
from loadtests.usl import MINIMUM_LOADS
from storewatch.core.errors import UsageError


def test_days_are_counted_back_from_the_event_and_weekends_avoided() -> None:
    due = {one.when: str(one.due) for one in tickets(DOUBLE11, EARLY)}
    assert due == {
        "T-42": "2026-09-30",
        "T-28": "2026-10-14",
        "T-21": "2026-10-21",
        "T-14": "2026-10-28",
        "T-10": "2026-10-30",  # Sunday, November 1
        "T-7": "2026-11-04",
        "T-3": "2026-11-06",  # Sunday, November 8
        "T-1": "2026-11-10",
        "T+1": "2026-11-12",
    }
    assert "moved from Sunday, 2026-11-01" in made()[SCHEDULE].decode()


@pytest.mark.parametrize("offset", range(14))
def test_no_ticket_is_due_on_a_weekend_or_out_of_order(offset: int) -> None:
    coming = Launch("SALE", 10.0, date(2027, 3, 1) + timedelta(days=offset), "buy")
    due = [one.due for one in tickets(coming, EARLY)]
    assert due == sorted(due)
    assert all(day.weekday() < 5 for day in due)
    assert due[-2] < coming.day < due[-1]


def test_a_weekend_goes_to_the_friday_before_and_a_review_to_the_monday_after() -> None:
    saturday, sunday = date(2026, 11, 14), date(2026, 11, 15)
    assert {working_day(saturday), working_day(sunday)} == {date(2026, 11, 13)}
    assert {working_day(day, later=True) for day in (saturday, sunday)} == {date(2026, 11, 16)}
    assert working_day(date(2026, 11, 13)) == date(2026, 11, 13)


def test_days_that_are_over_are_named_and_none_is_dropped() -> None:
    today = date(2026, 10, 28)
    found = tickets(DOUBLE11, today)
    assert [one.when for one in found if one.passed] == ["T-42", "T-28", "T-21"]  # not today's
    files = made(today)
    assert files[SCHEDULE].decode().count("passed: do it now, or write down who accepts") == 3
    assert "- passed\n" in files[found[0].file].decode()
    assert "Passed: do it now" in files[found[0].file].decode()
    assert "passed" not in files[found[3].file].decode()
    assert len(files) == 9 + 3


@pytest.mark.parametrize(
    ("event", "peak", "day", "said"),
    [
        ("DOUBLE 11", "500/s", "2026-11-11", "write letters, digits, - and _, such as DOUBLE11"),
        ("../x", "500/s", "2026-11-11", "write letters"),
        ("X", "500", "2026-11-11", "write a rate above 0, such as 500/s or 30000/min"),
        ("X", "0/s", "2026-11-11", "write a rate above 0"),
        ("X", "-5/s", "2026-11-11", "write a rate above 0"),
        ("X", "7000/s", "2026-11-11", "write 6667/s or less"),
        ("X", "500/s", "11.11.2026", "write year-month-day, such as 2027-11-11"),
        ("X", "500/s", "20261111", "write year-month-day"),
        ("X", "500/s", "2026-02-30", "write year-month-day"),
        ("X", "500/s", "2026-08-31", "is in the past; write a day from 2026-09-01 on"),
        ("X", "500/s", "9999-12-31", "no day for the review; write a day up to 9999-12-30"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_the_valid_form(
    event: str, peak: str, day: str, said: str
) -> None:
    with pytest.raises(UsageError) as error:
        launch(event, peak, day, "checkout", EARLY)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("peak", "per_s"), [("500/s", 500), ("30000/min", 500), ("1800000/h", 500), ("0.5/s", 0.5)]
)
def test_a_peak_has_a_unit(peak: str, per_s: float) -> None:
    assert launch("X", peak, str(EARLY), "checkout", EARLY).peak_per_s == per_s


def test_on_the_last_day_that_is_taken_every_ticket_has_a_day() -> None:
    coming = launch("X", "500/s", "9999-12-30", "checkout", EARLY)
    assert tickets(coming, EARLY)[-1].due == date.max


@pytest.mark.parametrize("peak_per_s", [0.05, 500, 10_000 / 1.5])
def test_profiles_are_what_the_configuration_takes(peak_per_s: float) -> None:
    coming = Launch("DOUBLE11", peak_per_s, DOUBLE11.day, "checkout")
    found = settings_of(made(coming=coming))
    assert set(found) == set(profiles(coming))
    highest = {
        name: max(stage.end_rate for stage in one.stages() if stage.counts)
        for name, one in found.items()
    }
    assert highest == {
        "double11-baseline": pytest.approx(0.2 * peak_per_s, rel=1e-4),
        "double11-breakpoint": pytest.approx(2 * peak_per_s, rel=1e-4),
        "double11-rehearsal": pytest.approx(1.5 * peak_per_s, rel=1e-4),
        "double11-flash-sale": pytest.approx(1.5 * peak_per_s, rel=1e-4),
        "double11-soak": pytest.approx(0.5 * peak_per_s, rel=1e-4),
        "double11-smoke": pytest.approx(peak_per_s, rel=1e-4),
    }


def test_the_rehearsal_goes_beyond_the_peak_and_watches_the_recovery() -> None:
    rehearsal = settings_of(made())["double11-rehearsal"]
    assert (rehearsal.shape, rehearsal.peak, rehearsal.factor) == ("rehearsal", 500, 1.5)
    assert [(one.name, one.duration_s, one.end_rate) for one in rehearsal.stages()[1:]] == [
        ("rise", 300, 750),
        ("peak", 1800, 750),
        ("fall", 60, 50),
        (RECOVERY, 600, 50),
    ]


def test_the_breakpoint_has_enough_steps_for_a_capacity() -> None:
    stages = settings_of(made())["double11-breakpoint"].stages()
    plan = Plan("r", (), "", None, stages, timeout_s=1, shoppers=1, patience_s=1)
    assert loads(plan) >= MINIMUM_LOADS


def test_every_command_of_a_ticket_is_one_that_the_program_takes() -> None:
    found = commands(made())
    assert len(found) >= 15
    for line in found:
        parsed(line)


@pytest.mark.parametrize(
    ("peak", "orders_per_s"),
    [("500/s", 750), ("1/h", 1.5 / 3600), ("0.001/h", 0.0015 / 3600), ("0.123456/s", 0.185184)],
)
def test_the_orders_that_a_capacity_is_asked_for_are_never_rounded_to_none(
    peak: str, orders_per_s: float
) -> None:
    coming = launch("X", peak, str(DOUBLE11.day), "checkout", EARLY)
    (line,) = [line for line in commands(made(coming=coming)) if "load capacity" in line]
    asked = parsed(line).params["orders_per_second"]
    assert asked == pytest.approx(orders_per_s, rel=1e-5)


def test_the_ticket_of_the_gate_runs_the_gate_after_the_rehearsal() -> None:
    gate = by_slug(tickets(DOUBLE11, EARLY))["gate"]
    found = [parsed(line) for line in gate.commands]
    assert [one.command.name for one in found] == ["check", "run", "gate", "status"]
    assert found[1].params["profile"] == "double11-rehearsal"
    assert found[2].params["policy"] == "pre-launch"
    assert gate.commands[2].split()[3] == '"$RELEASE"'  # empty, it is refused in one line


def commands_of_the_page() -> list[str]:
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "plan-a-launch.md"
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize(
    "lines", [commands(made()), commands_of_the_page()], ids=["tickets", "page"]
)
def test_a_run_that_a_capacity_is_taken_from_is_not_given_up_in_the_step_that_breaks(
    lines: list[str],
) -> None:
    shapes = {name: one.shape for name, one in settings_of(made()).items()}
    found = [one for one in map(parsed, lines) if one.command.name in ("run", "capacity")]
    taken = [n for n, one in enumerate(found) if one.command.name == "capacity"]
    assert taken
    for number in taken:
        before = found[number - 1].params
        assert shapes[before["profile"]] == "steps"
        assert before["to_the_end"]


def test_every_profile_that_a_ticket_names_is_there_and_each_is_used() -> None:
    files = made()
    named = set(re.findall(r"load run checkout --profile (\S+)", "\n".join(commands(files))))
    assert named == set(settings_of(files))


def test_a_ticket_has_front_matter_commands_and_when_it_is_done() -> None:
    one = by_slug(tickets(DOUBLE11, EARLY))["rehearsal"]
    text = made()[one.file].decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "title": "DOUBLE11 T-28: Rehearsal at 150% of the peak",
        "due": date(2026, 10, 14),
        "labels": ["rehearsal", "double11"],
        "assignee": "release manager",
    }
    assert "storewatch load run checkout --profile double11-rehearsal" in body
    assert "- [ ] it ends with PASS; no order is lost, doubled or unpaid" in body
