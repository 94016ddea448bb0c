"""Run the steps of a page: argv without a shell, output kept, the first failure ends the run."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from runbooks.page import Page, Parameter, Step
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.commands import resolve
from storewatch.core.errors import UsageError

_PLACEHOLDER = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_OUTPUT_LIMIT_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One command as it went; `status` is None when it ran out of time."""

    step: str
    command: str
    started_at: datetime
    duration_s: float
    status: int | None
    output: str

    @property
    def ok(self) -> bool:
        """Whether the command ended with status 0."""
        return self.status == 0

    def to_json(self) -> dict[str, object]:
        """Return the result as one JSON object."""
        return {
            "step": self.step,
            "command": self.command,
            "started_at": rfc3339(self.started_at),
            "duration_s": self.duration_s,
            "status": self.status,
            "output": self.output,
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run of a page did."""

    page: str
    results: tuple[CommandResult, ...]

    @property
    def ok(self) -> bool:
        """Whether there was something to run and every command succeeded."""
        return bool(self.results) and all(result.ok for result in self.results)


def argv(command: str, values: Mapping[str, str]) -> list[str]:
    """Return the words of one line of a page, placeholders filled in.

    A value becomes part of one word and is never split or interpreted: there is no shell.

    Raises:
        UsageError: a placeholder that the page does not declare.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(f"{command!r}: ${match[1]} is no parameter of this page")
        return values[match[1]]

    return [_PLACEHOLDER.sub(fill, word) for word in shlex.split(command)]


def run_page(
    page: Page,
    sections: tuple[str, ...],
    parameters: Mapping[str, str],
    environment: Mapping[str, str],
    timeout_s: float,
    say: Callable[[str], None],
) -> RunResult:
    """Run the steps of the given sections in the page's order.

    Args:
        page: the page.
        sections: such as ("mitigation", "verify").
        parameters: values for the page's parameters; each is checked against its pattern.
        environment: of the commands, secrets included.
        timeout_s: per command.
        say: told each command before it runs and how it ended.

    Raises:
        UsageError: a parameter is unknown, missing or malformed; then nothing was run.
    """
    _refuse_unknown(page, parameters)
    lines = list(_commands(page, sections))
    used = {match[1] for _, line in lines for match in _PLACEHOLDER.finditer(line)}
    values = {
        parameter.name: _value(parameter, parameters, environment, timeout_s)
        for parameter in page.parameters
        if parameter.name in used.union(parameters)
    }
    commands = [(step, argv(line, values)) for step, line in lines]
    results: list[CommandResult] = []
    for step, words in commands:
        say(f"{step.name}: {shlex.join(words)}")
        result = _run(step, words, environment, timeout_s)
        results.append(result)
        say(f"{step.name}: {_outcome(result)}")
        if not result.ok:
            break
    return RunResult(page.alert, tuple(results))


def _refuse_unknown(page: Page, given: Mapping[str, str]) -> None:
    known = {parameter.name for parameter in page.parameters}
    if unknown := sorted(set(given) - known):
        names = ", ".join(sorted(known)) or "none"
        raise UsageError(f"{page.alert} has no parameter {unknown[0]!r}; it has: {names}")


def _value(
    parameter: Parameter,
    given: Mapping[str, str],
    environment: Mapping[str, str],
    timeout_s: float,
) -> str:
    """Return the given value, else what the parameter's command prints, else the default."""
    if parameter.name in given or parameter.default_from is None:
        return parameter.check(given.get(parameter.name))
    step = Step(parameter.name, "diagnosis", (parameter.default_from,))
    result = _run(step, shlex.split(parameter.default_from), environment, timeout_s)
    if result.ok:
        return parameter.check(result.output.strip())
    if parameter.default is not None:
        return parameter.check(None)
    raise UsageError(
        f"parameter {parameter.name} is missing, it looks like {parameter.pattern};"
        f" {result.command} does not know it: {_outcome(result)}"
    )


def _commands(page: Page, sections: tuple[str, ...]) -> Iterator[tuple[Step, str]]:
    for step in page.steps:
        if step.section in sections:
            for command in step.commands:
                yield step, command


def _run(
    step: Step, words: list[str], environment: Mapping[str, str], timeout_s: float
) -> CommandResult:
    started_at, started = utc_now(), time.monotonic()
    with tempfile.TemporaryFile() as output:  # not a pipe: a daemon left behind would keep it open
        try:
            status = _wait(words, environment, timeout_s, output)
        except (OSError, ValueError) as error:
            status = 127
            output.write(f"{words[0]}: {getattr(error, 'strerror', None) or error}".encode())
        output.seek(max(0, output.seek(0, os.SEEK_END) - _OUTPUT_LIMIT_BYTES))
        text = output.read().decode(errors="replace")
    duration_s = round(time.monotonic() - started, 3)
    return CommandResult(step.name, shlex.join(words), started_at, duration_s, status, text)


def _wait(
    words: list[str], environment: Mapping[str, str], timeout_s: float, output: IO[bytes]
) -> int | None:
    """Return a command's status; None when its time ran out and it was ended with its children."""
    process = subprocess.Popen(
        resolve(words),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return None
        raise


def _outcome(result: CommandResult) -> str:
    if result.ok:
        return f"done in {result.duration_s:.1f} s"
    if result.status is None:
        return f"still running after {result.duration_s:.0f} s; given up"
    last = (result.output.strip().splitlines() or ["no output"])[-1]
    return f"failed with status {result.status}: {last}"
