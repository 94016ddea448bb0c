"""The files of a rehearsal schedule: Markdown, tickets, a calendar, profiles."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import yaml

from loadtests.rehearsal import BEYOND, Launch, Ticket, profiles
from storewatch.core.errors import UsageError
from storewatch.store.files import write_atomic

SCHEDULE, CALENDAR, PROFILES = "schedule.md", "rehearsal.ics", "profiles.yaml"
_LINE_OCTETS = 75
_STAMP = b"DTSTAMP:"


def render(coming: Launch, tickets: Sequence[Ticket], today: date) -> dict[str, bytes]:
    """Return the content of each file by its name."""
    files = {
        SCHEDULE: schedule(coming, tickets),
        **{one.file: ticket(coming, one) for one in tickets},
        PROFILES: profile_sections(coming),
    }
    return {
        **{name: text.encode() for name, text in files.items()},
        CALENDAR: calendar(coming, tickets, today),
    }


def schedule(coming: Launch, tickets: Sequence[Ticket]) -> str:
    """Return the schedule as Markdown."""
    rows = "".join(
        f"| {one.when} | {one.due:%a} {one.due} | [{one.title}]({one.file}) | {one.who} |"
        f" {'; '.join(remarks(one))} |\n"
        for one in tickets
    )
    return (
        f"# {coming.event} on {coming.day:%A}, {coming.day}\n\n"
        f"Forecast: {coming.peak_per_s:g} journeys of `{coming.journey}` a second at the peak;"
        f" rehearsed up to {BEYOND:.0%} of it.\n\n"
        "| | due | rehearsal | who | |\n|---|---|---|---|---|\n"
        f"{rows}\n"
        f"The profiles are in [{PROFILES}]({PROFILES}): copy them into storewatch.yaml."
        f" [{CALENDAR}]({CALENDAR}) has the days.\n\n"
        "What falls on a weekend was moved to the Friday before, the review to the Monday after."
        " Public holidays are not known here: look for them.\n"
    )


def remarks(one: Ticket) -> list[str]:
    """Return what is unusual about the day of a ticket."""
    moved = f"moved from {one.planned:%A}, {one.planned}" if one.due != one.planned else ""
    passed = "passed: do it now, or write down who accepts the risk" if one.passed else ""
    return [said for said in (moved, passed) if said]


def ticket(coming: Launch, one: Ticket) -> str:
    """Return one ticket: front matter, then what to run and when it is done."""
    front = {
        "title": f"{coming.event} {one.when}: {one.title}",
        "due": one.due,
        "labels": ["rehearsal", coming.prefix, *(["passed"] if one.passed else [])],
        "assignee": one.who,
    }
    notes = "".join(f"{said[0].upper()}{said[1:]}.\n\n" for said in remarks(one))
    commands = "\n".join(one.commands)
    done = "\n".join(f"- [ ] {line}" for line in one.done)
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False, width=1000)}---\n\n{notes}"
        f"## Run\n\n```sh\n{commands}\n```\n\n## Done when\n\n{done}\n"
        "- [ ] the id of each evidence is in this ticket\n"
    )


def profile_sections(coming: Launch) -> str:
    """Return the profiles as a part of storewatch.yaml."""
    head = f"# Profiles of {coming.event}, for the section loadtests of storewatch.yaml.\n"
    return head + yaml.safe_dump(
        {"loadtests": {"profiles": {name: dict(one) for name, one in profiles(coming).items()}}},
        sort_keys=False,
    )


def calendar(coming: Launch, tickets: Iterable[Ticket], today: date) -> bytes:
    """Return an iCalendar file with a whole-day event for each ticket.

    Source: RFC 5545: 3.1 lines end with CRLF and are folded at 75 octets, 3.3.11 escapes,
    3.6.1 an event without DTEND takes its one day, 3.8.7.2 DTSTAMP.
    """
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//storewatch//load plan//EN"]
    for one in tickets:
        run = "\n".join(["Run:", *one.commands, "Done when:", *one.done])
        lines += [
            "BEGIN:VEVENT",
            f"UID:{coming.prefix}-{coming.day:%Y%m%d}-{one.slug}@storewatch",
            f"{_STAMP.decode()}{today:%Y%m%d}T000000Z",
            f"DTSTART;VALUE=DATE:{one.due:%Y%m%d}",
            f"SUMMARY:{_escaped(f'{coming.event} {one.when}: {one.title} ({one.who})')}",
            f"DESCRIPTION:{_escaped(run)}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return b"".join(folded(line) for line in lines)


def _escaped(text: str) -> str:
    for plain, escape in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        text = text.replace(plain, escape)
    return text


def folded(line: str) -> bytes:
    """Return a content line with its CRLF, folded between characters; a space begins the rest."""
    parts, room = [b""], _LINE_OCTETS
    for character in line:
        octets = character.encode()
        if len(parts[-1]) + len(octets) > room:
            parts.append(b"")
            room = _LINE_OCTETS - 1  # the space counts
        parts[-1] += octets
    return b"\r\n ".join(parts) + b"\r\n"


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files; none when one is there with another content.

    Raises:
        UsageError: one would be overwritten, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output {folder}: {error.strerror}; name a folder that can be made"
        ) from None
    missing = []
    for name, content in files.items():
        path = folder / name
        if not path.exists():
            missing.append(name)
        elif _compared(path.read_bytes()) != _compared(content):
            raise UsageError(
                f"{path} is there and differs; nothing was written: remove it, or name another"
                " --output"
            )
    for name in missing:
        write_atomic(folder / name, files[name])


def _compared(content: bytes) -> list[bytes]:
    """Return the lines of a file but for the day on which it was made."""
    return [line for line in content.splitlines() if not line.startswith(_STAMP)]
