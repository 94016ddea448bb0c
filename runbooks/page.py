"""Runbook pages: Markdown that reads on any Git host and whose named fences run.

Source: the fence annotation follows Runme: ```sh {"name":"promote-standby","section":"mitigation"}
"""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from storewatch.core.errors import RunbookError, UsageError

SECTIONS = ("meaning", "impact", "diagnosis", "mitigation", "verify", "escalate")
SHIPPED = Path(__file__).parent / "pages"
_FRONT_MATTER = re.compile(r"---\n(.*?)^---\n(.*)", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
# Words that mean something to a shell; without one they would be handed over as arguments.
_SHELL_WORDS = {"|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1"}


@dataclass(frozen=True, slots=True)
class Step:
    """A fence that runs: each line is one command."""

    name: str
    section: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that a page asks for; `pattern` is what a right value looks like.

    Without a value given, `default` is used; where the right value depends on how things stand
    (which node is the standby?), `default_from` is a command that prints it.
    """

    name: str
    pattern: str
    default: str | None = None
    default_from: str | None = None

    def check(self, value: str | None) -> str:
        """Return the value to use.

        Raises:
            UsageError: it is missing or does not match.
        """
        chosen = self.default if value is None else value
        if chosen is None:
            raise UsageError(f"parameter {self.name} is missing; it looks like {self.pattern}")
        if not re.fullmatch(self.pattern, chosen):
            raise UsageError(f"parameter {self.name}: {chosen!r} does not match {self.pattern}")
        return chosen


@dataclass(frozen=True, slots=True)
class Page:
    """One runbook page."""

    path: Path
    alert: str
    severity: str
    owner_role: str
    title: str
    text: str
    sections: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]


def read_page(path: Path) -> Page:
    """Read a page.

    Raises:
        RunbookError: front matter, a fence's annotation or a section is wrong.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise RunbookError(f"{path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RunbookError(f"{path.name}: not UTF-8 text") from error
    front, body = _front_matter(path, text)
    tokens = MarkdownIt().parse(body)
    headings = [
        (token.tag, tokens[index + 1].content)
        for index, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    fences = [token for token in tokens if token.type == "fence" and "{" in token.info]
    try:
        return Page(
            path=path,
            alert=str(front["alert"]),
            severity=str(front["severity"]),
            owner_role=str(front["owner_role"]),
            title=next((content for tag, content in headings if tag == "h1"), path.stem),
            text=body,
            sections=tuple(content.lower() for tag, content in headings if tag == "h2"),
            parameters=tuple(_parameters(path, front.get("parameters") or {})),
            steps=tuple(_step(path, token.info, token.content) for token in fences),
        )
    except (KeyError, TypeError) as error:
        raise RunbookError(f"{path.name}: front matter: {error} is missing or wrong") from error


def _front_matter(path: Path, text: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.fullmatch(text)
    if match is None:
        raise RunbookError(f"{path.name}: starts with no front matter between two lines of ---")
    try:
        front = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise RunbookError(f"{path.name}: the front matter is no YAML: {reason}") from error
    if not isinstance(front, dict):
        raise RunbookError(f"{path.name}: the front matter is no mapping; write alert: NAME")
    return front, match[2]


def _parameters(path: Path, raw: Any) -> list[Parameter]:
    if not isinstance(raw, dict) or not all(isinstance(form, dict) for form in raw.values()):
        raise RunbookError(
            f"{path.name}: parameters: write a mapping such as instance: {{pattern: 'app-[12]'}}"
        )
    found = []
    for name, form in raw.items():
        default, command = (
            None if form.get(key) is None else str(form[key]) for key in ("default", "default_from")
        )
        parameter = Parameter(str(name), str(form["pattern"]), default, command)
        try:
            re.compile(parameter.pattern)
            if default is not None:
                parameter.check(None)
        except (re.error, UsageError) as error:
            raise RunbookError(f"{path.name}: parameter {name}: {error}") from error
        if command is not None:
            _refuse_shell(path, str(name), command)
        found.append(parameter)
    return found


def _step(path: Path, info: str, content: str) -> Step:
    try:
        annotation = json.loads(info[info.index("{") :])
        name, section = str(annotation["name"]), str(annotation["section"])
    except (ValueError, KeyError) as error:
        raise RunbookError(
            f'{path.name}: fence {info!r}: write ```sh {{"name":"step","section":"mitigation"}}'
        ) from error
    if section not in SECTIONS:
        raise RunbookError(f"{path.name}: step {name}: section {section!r}; use one of {SECTIONS}")
    lines = (line.strip() for line in content.replace("\\\n", " ").splitlines())
    commands = tuple(line for line in lines if line and not line.startswith("#"))
    if not commands:
        raise RunbookError(f"{path.name}: step {name} has no command")
    for command in commands:
        _refuse_shell(path, name, command)
    return Step(name, section, commands)


def _refuse_shell(path: Path, step: str, command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RunbookError(f"{path.name}: step {step}: {command!r}: {error}") from error
    if shell := _SHELL_WORDS.intersection(words):
        raise RunbookError(
            f"{path.name}: step {step}: {command!r}: {min(shell)} needs a shell and there is none;"
            " write one command a line"
        )


class Library:
    """All pages: those of the shop's own folders, then the shipped ones."""

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        self._folders = (*folders, SHIPPED)

    def names(self) -> list[str]:
        """Return the names of all pages, sorted."""
        return sorted({path.stem for folder in self._folders for path in folder.glob("*.md")})

    def page(self, name: str) -> Page:
        """Return the page of an alert.

        Raises:
            UsageError: there is none.
        """
        for folder in self._folders:
            if _NAME.fullmatch(name) and (path := folder / f"{name}.md").exists():
                return read_page(path)
        raise UsageError(f"no runbook page {name!r}; `storewatch runbook list` names them")
