"""The rehearsal schedule before a launch: days, tickets, calendar, profiles, files."""

import json
import re
import shlex
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from loadtests.capacity import loads
from loadtests.plan import Plan
from loadtests.profiles import RECOVERY, ProfileSettings
from loadtests.rehearsal import Launch, Ticket, launch, profiles, tickets, working_day
from loadtests.rehearsal_files import CALENDAR, PROFILES, SCHEDULE, folded, render, write
from loadtests.usl import MINIMUM_LOADS
from storewatch.cli.main import cli, main
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError

EARLY = date(2026, 9, 1)
DOUBLE11 = Launch("DOUBLE11", 500.0, date(2026, 11, 11), "checkout")


def made(today: date = EARLY, coming: Launch = DOUBLE11) -> dict[str, bytes]:
    return render(coming, tickets(coming, today), today)


def by_slug(found: tuple[Ticket, ...]) -> dict[str, Ticket]:
    return {one.slug: one for one in found}


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


def settings_of(files: dict[str, bytes]) -> dict[str, ProfileSettings]:
    raw = yaml.safe_load(files[PROFILES])
    assert list(raw) == ["loadtests"]
    assert list(raw["loadtests"]) == ["profiles"]
    return {
        name: ProfileSettings.model_validate(one)
        for name, one in raw["loadtests"]["profiles"].items()
    }


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


def commands(files: dict[str, bytes]) -> list[str]:
    texts = [text.decode() for name, text in files.items() if re.match(r"\d\d-", name)]
    blocks = [match[1] for text in texts for match in re.finditer(r"```sh\n(.*?)```", text, re.S)]
    return [line for block in blocks for line in block.splitlines()]


def parsed(line: str) -> click.Context:
    """Return a command with its arguments, as the program takes it."""
    program, *words = shlex.split(line)
    assert program == "storewatch"
    command: Any = cli
    context = click.Context(cli, obj={"config_file": None})
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        assert command is not None, line
    made: click.Context = command.make_context(command.name, words, obj={"config_file": None})
    return made


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


def test_the_schedule_links_every_file() -> None:
    files = made()
    linked = set(re.findall(r"\]\(([^)]+)\)", files[SCHEDULE].decode()))
    assert linked == set(files) - {SCHEDULE}


# The calendar, read back by RFC 5545.


def unfolded(content: bytes) -> list[str]:
    assert content.endswith(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    lines = content.split(b"\r\n")[:-1]
    assert max(len(line) for line in lines) <= 75
    for line in lines:
        line.decode()  # no character is cut in two
    return content.replace(b"\r\n ", b"").decode().split("\r\n")[:-1]


def test_the_calendar_has_a_whole_day_for_each_ticket() -> None:
    lines = unfolded(made()[CALENDAR])
    assert lines[:3] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//storewatch//load plan//EN"]
    assert lines[-1] == "END:VCALENDAR"
    found = tickets(DOUBLE11, EARLY)
    starts = [line for line in lines if line.startswith("DTSTART")]
    assert starts == [f"DTSTART;VALUE=DATE:{one.due:%Y%m%d}" for one in found]
    assert len({line for line in lines if line.startswith("UID:")}) == len(found)
    assert lines.count("DTSTAMP:20260901T000000Z") == len(found)
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == len(found)
    summary = next(line for line in lines if "T-7" in line)
    assert summary == (
        r"SUMMARY:DOUBLE11 T-7: Gate: full rehearsal\, then change freeze (release manager)"
    )
    described = next(line for line in lines if line.startswith("DESCRIPTION:Run:"))
    assert r"baseline\nstorewatch load run" in described


@pytest.mark.parametrize("text", ["x" * 75, "x" * 76, "x" * 149, "x" * 150, "é" * 100, "界" * 60])
def test_long_lines_are_folded_between_characters(text: str) -> None:
    content = folded(text)
    assert unfolded(content) == [text]
    if len(text.encode()) <= 75:
        assert content == text.encode() + b"\r\n"


# Files and the command.


def test_a_plan_that_is_there_already_is_left_alone_and_a_changed_one_refused(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "plans" / "double11"
    write(folder, made())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / PROFILES).unlink()
    write(folder, made(EARLY + timedelta(days=1)))  # a day later: the same but for its stamp
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name, at in after.items() if before[name] != at} == {PROFILES}
    (folder / SCHEDULE).write_text("ours")
    (folder / CALENDAR).unlink()
    with pytest.raises(UsageError, match=r"schedule\.md is there and differs; nothing was written"):
        write(folder, made())
    assert not (folder / CALENDAR).exists()
    with pytest.raises(UsageError, match=r"schedule\.md/x: .*; name a folder that can be made"):
        write(folder / SCHEDULE / "x", made())


def config(folder: Path, journeys: dict[str, str]) -> Path:
    file = folder / "storewatch.yaml"
    with pytest.raises(SystemExit):
        main(["--config", str(file), "init"])
    raw = yaml.safe_load(file.read_text())
    raw["loadtests"] = {"base_url": "http://127.0.0.1:9", "journeys": journeys}
    file.write_text(yaml.safe_dump(raw))
    return file


def test_the_command_writes_the_plan_and_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    file = config(tmp_path, {"buy": "load_walks:buy", "look": "load_walks:look"})
    day = utc_now().date() + timedelta(days=30)
    words = ["--config", str(file), "load", "plan", "--event", "SALE", "--peak", "20/s"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--date", str(day), "--json"])
    out = capsys.readouterr()
    assert ended.value.code == 0, out.err
    said = json.loads(out.out)
    assert said["peak_per_s"] == 20
    assert said["folder"] == f"rehearsal-SALE-{day}"
    assert [one["when"] for one in said["tickets"] if one["passed"]] == ["T-42"]
    written = {path.name for path in (tmp_path / said["folder"]).iterdir()}
    assert written == {SCHEDULE, CALENDAR, PROFILES, *(one["file"] for one in said["tickets"])}
    assert "storewatch load run buy --profile sale-baseline" in said["tickets"][0]["commands"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--date", str(day), "--journey", "look", "--output", "looking"])
    out = capsys.readouterr()
    assert ended.value.code == 0, out.err
    assert "passed: do it now" in out.out
    assert "looking/schedule.md: 9 tickets" in out.out
    assert "load run look" in (tmp_path / "looking" / "02-rehearsal.md").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--date", "2020-01-01"], "is in the past"),
        (["--date", "2999-01-01", "--journey", "fly"], "no journey 'fly'"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2_and_writes_nothing(
    more: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    file = config(tmp_path, {"buy": "load_walks:buy"})
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(file), "load", "plan", "--event", "S", "--peak", "20/s", *more])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.glob("rehearsal*")) == []
