import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from repository import ROOT, documents, sources

from storewatch.cli.main import cli

CONTEXT = click.Context(cli, obj={})
PAGE = ROOT / "docs" / "reference" / "command-line.md"
_INLINE = re.compile(r"`(storewatch [^`\n]+)`")
_LINE = re.compile(r"^(?:\$ )?(storewatch [^\n]+)$", re.M)
_FENCE = re.compile(r"^(`{3,})[^\n]*\n(.*?)^\1$", re.M | re.S)


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Return every command with its words, groups left out."""
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    for name in command.list_commands(CONTEXT):
        found = command.get_command(CONTEXT, name)
        assert found is not None
        yield from commands(found, (*words, name))


def options(command: click.Command) -> set[str]:
    """Return the options of a command beyond --config, which all have."""
    return {o for p in command.params if isinstance(p, click.Option) for o in p.opts} - {"--config"}


def mistake(line: str) -> str | None:
    """Return what is wrong with a mention of our command line, None when it would be understood."""
    words = [word.strip("[]") for word in shlex.split(line, comments=True)][1:]
    command: click.Command = cli
    while words:
        word = words.pop(0)
        if word in {"--help", "-h"}:
            continue
        if word.startswith("-"):
            known = {o for p in command.params for o in p.opts}
            if word.partition("=")[0] not in known:
                return f"{line!r}: {command.name} has no option {word}"
        elif isinstance(command, click.Group):
            if word.isupper():  # COMMAND, FILE: a placeholder
                continue
            for one in word.split("|"):
                found = command.get_command(CONTEXT, one)
                if found is None:
                    return f"{line!r}: {command.name} has no command {one!r}"
            assert found is not None
            command = found
    return None


def mentions(text: str) -> Iterator[str]:
    """Return every `storewatch ...` of a document: in backticks, and lines of code."""
    fenced = [match[2] for match in _FENCE.finditer(text)]
    yield from _INLINE.findall(_FENCE.sub("", text))
    for block in fenced:
        yield from (line for line in _LINE.findall(block) if not line.startswith("storewatch: "))


@pytest.mark.parametrize(
    "line",
    ["storewatch dmeo", "storewatch demo --kep", "storewatch load walk", "storewatch drill run -x"],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert mistake(line) is not None


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_only_commands_that_exist(path: Path) -> None:
    found = [mistake(line) for line in mentions(path.read_text())]
    assert [one for one in found if one] == []


def test_messages_and_starter_file_name_only_commands_that_exist() -> None:
    starter = (ROOT / "storewatch" / "templates" / "starter.yaml").read_text()
    texts = [*(text for _, text in sources()), starter, (ROOT / "storewatch.yaml").read_text()]
    found = [line for text in texts for line in _INLINE.findall(text) if not set("{<") & set(line)]
    assert len(found) > 10
    assert [one for one in map(mistake, found) if one] == []


def test_the_reference_has_every_command_with_every_option_and_no_other() -> None:
    rows = re.findall(r"^\| `(storewatch [^`]+)` \|", PAGE.read_text(), re.M)
    written = {}
    for row in rows:
        words = [word.strip("[]") for word in row.split()]
        name = " ".join(w for w in words if not w.startswith("--") and not w.isupper())
        written[name] = {w for w in words if w.startswith("--")}
    real = {name: options(command) for name, command in commands(cli, ("storewatch",))}
    assert written == real


def test_make_commands_of_the_documents_are_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    wrong = [
        f"{path.name}: make {name}"
        for path in documents()
        for name in re.findall(r"(?:^|`|\$ )make ([a-z]+)", path.read_text(), re.M)
        if name not in targets
    ]
    assert wrong == []
