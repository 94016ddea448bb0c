"""`up`, `status`, `down`, `processes`: the stack under supervisord."""

import os
from pathlib import Path

import click

from storewatch.cli.common import (
    config_option,
    json_option,
    parts,
    print_json,
    print_table,
    say,
    until_told,
)
from storewatch.tools import working_folder


@click.command()
@click.option("--detach", is_flag=True, help="Return once everything is ready.")
@config_option
def up(*, detach: bool) -> None:
    """Start every process, in order, each once those it needs answer."""
    found = parts()
    say(f"state folder: {found.config.home}")
    found.stack.up(say)
    if detach:
        say("up; `storewatch status` shows it, `storewatch down` ends it")
        return
    ending = until_told()
    say("up; Ctrl-C ends it")
    while not ending.wait(1.0):
        if not found.stack.supervisor.alive():
            say("the supervisor is gone")
            break
    found.down(say)


@click.command()
@json_option
@config_option
def status(*, as_json: bool) -> None:
    """Show every process; ends with 4 when one that should run does not."""
    rows = parts().stack.status()
    if as_json:
        print_json([row.to_json() for row in rows])
    else:
        cells = [
            (
                row.name,
                row.state.lower(),
                row.pid,
                None if row.uptime_s is None else f"{row.uptime_s:.0f} s",
                {True: "ready", False: "does not answer", None: None}[row.ready],
            )
            for row in rows
        ]
        print_table(("process", "state", "pid", "up", "answers"), cells, "no processes")
    healthy = all(row.state == "RUNNING" and row.ready is not False for row in rows)
    click.get_current_context().exit(0 if healthy else 4)


@click.command()
@config_option
def down() -> None:
    """Stop every process, also what a killed supervisor left behind."""
    parts().down(say)


@click.group()
def processes() -> None:
    """Start, stop or restart one process."""


@processes.command()
@click.argument("name")
@config_option
def start(name: str) -> None:
    """Start a process and wait until it is ready; one that runs is left alone."""
    parts().stack.start(name, say)


@processes.command()
@click.argument("name")
@config_option
def stop(name: str) -> None:
    """Stop a process; one that does not run is left alone."""
    parts().stack.stop(name)
    say(f"{name} is stopped")


@processes.command()
@click.argument("name")
@config_option
def restart(name: str) -> None:
    """Stop a process, frozen or not, start it and wait until it is ready."""
    parts().stack.restart(name, say)


@processes.command()
@click.argument("name")
@json_option
@config_option
def pid(name: str, *, as_json: bool) -> None:
    """Print the pid of a running process."""
    found = parts().stack.pid(name)
    if as_json:
        print_json({"name": name, "pid": found})
    else:
        say(str(found))


@click.command(hidden=True)
@click.argument("name", type=click.Choice(["prometheus", "alertmanager"]))
@config_option
def engine(name: str) -> None:
    """Become Prometheus or Alertmanager, with a freshly written configuration."""
    argv = parts().engine_argv(name)
    os.chdir(working_folder(Path(argv[0])))
    os.execv(argv[0], argv)  # noqa: S606 - the process is to become the engine
