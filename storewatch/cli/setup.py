"""`init` and `check`: begin, and see that what is written is right."""

import subprocess
import tempfile
from pathlib import Path

import click

from alerting.rules import alert_names
from storewatch.cli.common import config_option, config_path, parts, say
from storewatch.core.errors import UsageError
from storewatch.store.files import write_atomic
from storewatch.tools import find_program

_STARTER = Path(__file__).parent.parent / "templates" / "starter.yaml"


@click.command()
@config_option
def init() -> None:
    """Write a commented starter configuration; an existing file is left alone."""
    path = config_path()
    if path.exists():
        raise UsageError(f"{path} is there already; remove it or name another with --config")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it first")
    write_atomic(path.resolve(), _STARTER.read_bytes())
    say(f"wrote {path}; change it to your shop, then run `storewatch check`")


@click.command()
@config_option
def check() -> None:
    """Check the configuration, the rules made from it, the routes, and the runbook pages."""
    found = parts()
    texts = found.rendered()
    with tempfile.TemporaryDirectory() as folder:
        rules, routes = Path(folder) / "rules.yml", Path(folder) / "alertmanager.yml"
        rules.write_text(texts["rules"])
        routes.write_text(texts["alertmanager"])
        _judge("the rules", [find_program("promtool"), "check", "rules", rules])
        _judge("the routes", [find_program("amtool"), "check-config", routes])
    pages = set(found.runbooks.names())
    alerts = alert_names(found.config.settings.alerting)
    if missing := sorted(set(alerts) - pages):
        raise UsageError(
            f"no runbook page for: {', '.join(missing)}; add runbooks/pages/<alert>.md"
        )
    for name in sorted(pages):
        found.runbooks.page(name)
    for name in found.config.settings.chaos.proofs:
        found.proof(name)
    say(f"{found.config.file.name} is right: {len(alerts)} alerts, each with its runbook page")


def _judge(what: str, argv: list[Path | str]) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise UsageError(f"{what} are refused by {Path(argv[0]).name}: {lines[-1]}")
