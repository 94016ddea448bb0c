"""`storewatch`: the root of the command line. Groups are imported when they are called."""

import importlib
import signal
import sys
from typing import Any

import click

from storewatch.core.errors import StorewatchError

# command -> module of storewatch.cli that holds it
_COMMANDS = {
    "init": "setup",
    "check": "setup",
    "demo": "demo",
    "up": "stack",
    "status": "stack",
    "down": "stack",
    "processes": "stack",
    "engine": "stack",
    "exporter": "exporter",
    "desk": "desk",
    "scheduler": "scheduler",
    "render": "render",
    "load": "load",
    "backup": "backup",
    "drill": "drill",
    "slo": "slo",
    "alert": "alert",
    "incident": "incident",
    "anomaly": "anomaly",
    "runbook": "runbook",
    "chaos": "chaos",
    "prove": "chaos",
    "evidence": "evidence",
}
_INTERNAL = {"engine"}


class _LazyGroup(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return [name for name in _COMMANDS if name not in _INTERNAL]

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"storewatch.cli.{_COMMANDS[name]}")
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "`storewatch --help` lists them"
            raise click.UsageError(f"no command {args[0]!r}; {hint}") from None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_file", metavar="FILE", help="Default: storewatch.yaml.")
@click.version_option(package_name="storewatch", message="storewatch %(version)s")
@click.pass_context
def cli(context: click.Context, config_file: str | None) -> None:
    """Watch an online shop, tell the right person, and rehearse until recovery is known to work.

    Exit codes: 0 done and PASS, 1 FAIL, 2 command line or configuration wrong, 3 INVALID or
    INCONCLUSIVE, 4 a needed part cannot be reached, 130 interrupted.
    """
    context.obj = {"config_file": config_file}


def main(argv: list[str] | None = None) -> Any:
    """Run the command line; a user's mistake is one line, never a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was begun is undone
    try:
        status = cli.main(args=argv, prog_name="storewatch", standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.ClickException as error:
        click.echo(f"storewatch: {error.format_message()}", err=True)
        status = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("storewatch: interrupted", err=True)
        status = 130
    except StorewatchError as error:
        for line in str(error).splitlines():
            click.echo(f"storewatch: {line}", err=True)
        status = error.exit_code
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
