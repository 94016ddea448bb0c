"""`init` and `check`: begin, and see that what is written is right."""

import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from alerting.own_prometheus import own_files
from alerting.prometheus import render_prometheus
from alerting.routes import roadless
from alerting.rules import alert_names, refuse_short_retention
from monitors.live import Trial
from storewatch.cli.common import (
    config_option,
    config_path,
    json_option,
    parts,
    print_json,
    print_table,
    say,
)
from storewatch.core.errors import UsageError
from storewatch.core.figures import number
from storewatch.proving import find_proof
from storewatch.store.files import write_atomic
from storewatch.tools import find_program
from storewatch.wiring import Parts

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
@click.option("--live", is_flag=True, help="Also try every probe, journey and query once.")
@json_option
@config_option
def check(*, live: bool, as_json: bool) -> None:
    """Check the configuration, the rules made from it, the routes, and the runbook pages."""
    found = parts()
    _check_files(found, quiet=as_json)
    if live:
        tried = list(found.try_everything())
        _tell(tried, as_json=as_json)
        click.get_current_context().exit(0 if all(one.ok for one in tried) else 1)
    elif as_json:
        print_json([])


def _check_files(found: Parts, *, quiet: bool) -> None:
    settings = found.config.settings
    texts = found.rendered()
    if "prometheus" in settings.run:
        refuse_short_retention(settings.alerting, found.service_levels)
    with tempfile.TemporaryDirectory() as folder:
        rules, routes = Path(folder) / "rules.yml", Path(folder) / "alertmanager.yml"
        rules.write_text(texts["rules"])
        routes.write_text(texts["alertmanager"])
        _judge("the rules", [find_program("promtool"), "check", "rules", rules])
        _judge("the routes", [find_program("amtool"), "check-config", routes])
        _judge_own(found, rules)
    pages = set(found.runbooks.names())
    alerts = alert_names(settings.alerting)
    if missing := sorted(set(alerts) - pages):
        raise UsageError(
            f"no runbook page for: {', '.join(missing)};"
            " add <alert>.md to a folder of runbooks.folders"
        )
    for name in sorted(pages):
        found.runbooks.page(name)
    for name in settings.chaos.proofs:
        find_proof(found, name)
    if not quiet:
        say(f"{found.config.file.name} is right: {len(alerts)} alerts, each with its runbook page")
        if silent := roadless(settings.alerting):
            click.echo(
                f"when notifications by {' or '.join(silent)} fail nobody is told:"
                " set alerting.alertmanager.heartbeat_url, or alerting.fallbacks",
                err=True,
            )


def _judge_own(found: Parts, rules: Path) -> None:
    """Judge rule files and scrape jobs of one's own, each file alone, so that it can be named."""
    settings, promtool = found.config.settings, find_program("promtool")
    own, config = settings.alerting.prometheus, rules.with_name("prometheus.yml")
    for file in own_files("rule_files", own.rule_files):
        _judge(f"{file}: these rules", [promtool, "check", "rules", file])
    for file in own_files("scrape_config_files", own.scrape_config_files):
        alone = own.model_copy(update={"rule_files": (), "scrape_config_files": (file,)})
        alerting = settings.alerting.model_copy(update={"prometheus": alone})
        config.write_text(render_prometheus(alerting, rules, settings.monitors.listen))
        _judge(f"{file}: these scrape jobs", [promtool, "check", "config", config])


def _tell(tried: list[Trial], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in tried])
        return
    rows = [
        (one.kind, one.name, "ok" if one.ok else "FAILS", number(one.took_s, "s"), one.found)
        for one in tried
    ]
    print_table(("what", "name", "", "took", "found"), rows, "nothing is watched")
    failing = sum(not one.ok for one in tried)
    say(f"{len(tried) - failing} of {len(tried)} work")


def _judge(what: str, argv: list[Path | str]) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        # promtool gives its reason on one of its outputs, amtool on the other.
        told = next((out for out in (done.stderr, done.stdout) if "FAILED:" in out), done.stderr)
        reason = " ".join(told.rpartition("FAILED:")[2].split())
        raise UsageError(f"{what} are refused by {Path(argv[0]).name}: {reason}")
