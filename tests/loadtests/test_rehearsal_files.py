"""`load plan`: the schedule, its calendar, and the command that writes them."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from launches import DOUBLE11, EARLY, made
from load_house import House

from loadtests.rehearsal import tickets
from loadtests.rehearsal_files import CALENDAR, PROFILES, SCHEDULE, folded, write
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError


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


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = House(tmp_path)
    found.configure(
        "http://127.0.0.1:9", journeys={"buy": "load_walks:buy", "look": "load_walks:look"}
    )
    return found


def test_the_command_writes_the_plan_and_says_it(tmp_path: Path, house: House) -> None:
    day = utc_now().date() + timedelta(days=30)
    words = ("load", "plan", "--event", "SALE", "--peak", "20/s", "--date", str(day))
    answer = house.call(*words, "--json")
    assert answer.code == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert said["peak_per_s"] == 20
    assert said["folder"] == f"rehearsal-SALE-{day}"
    assert [one["when"] for one in said["tickets"] if one["passed"]] == ["T-42"]
    written = {path.name for path in (tmp_path / said["folder"]).iterdir()}
    assert written == {SCHEDULE, CALENDAR, PROFILES, *(one["file"] for one in said["tickets"])}
    assert "storewatch load run buy --profile sale-baseline" in said["tickets"][0]["commands"]
    answer = house.call(*words, "--journey", "look", "--output", "looking")
    assert answer.code == 0, answer.stderr
    assert "passed: do it now" in answer.stdout
    assert "looking/schedule.md: 9 tickets" in answer.stdout
    assert "load run look" in (tmp_path / "looking" / "02-rehearsal.md").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--date", "2020-01-01"), "is in the past"),
        (("--date", "2999-01-01", "--journey", "fly"), "no journey 'fly'"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2_and_writes_nothing(
    more: tuple[str, ...], said: str, tmp_path: Path, house: House
) -> None:
    answer = house.call("load", "plan", "--event", "S", "--peak", "20/s", *more)
    assert (answer.code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
    assert said in answer.stderr
    assert list(tmp_path.glob("rehearsal*")) == []
