"""A launch, what is planned for it, and how its files are read back."""

import re
import shlex
from datetime import date
from typing import Any

import click
import yaml

from loadtests.profiles import ProfileSettings
from loadtests.rehearsal import Launch, Ticket, tickets
from loadtests.rehearsal_files import PROFILES, render
from storewatch.cli.main import cli

EARLY = date(2026, 9, 1)
DOUBLE11 = Launch("DOUBLE11", 500.0, date(2026, 11, 11), "checkout")


def made(today: date = EARLY, coming: Launch = DOUBLE11) -> dict[str, bytes]:
    return render(coming, tickets(coming, today), today)


def by_slug(found: tuple[Ticket, ...]) -> dict[str, Ticket]:
    return {one.slug: one for one in found}


def settings_of(files: dict[str, bytes]) -> dict[str, ProfileSettings]:
    raw = yaml.safe_load(files[PROFILES])
    assert list(raw) == ["loadtests"]
    assert list(raw["loadtests"]) == ["profiles"]
    return {
        name: ProfileSettings.model_validate(one)
        for name, one in raw["loadtests"]["profiles"].items()
    }


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
