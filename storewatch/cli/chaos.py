"""`chaos` and `prove`: faults, and the proof that they are seen and repaired."""

import os

import click

from chaos import lease
from storewatch.cli.common import (
    config_option,
    end_with,
    json_option,
    parts,
    print_json,
    print_table,
    say,
)
from storewatch.proving import run_proof


@click.group()
def chaos() -> None:
    """List what can be proven, and undo what was left behind."""


@chaos.command("list")
@json_option
@config_option
def list_(*, as_json: bool) -> None:
    """List the proofs with their alert, runbook and last verdict."""
    found = parts()
    latest = {e.subject: e for e in reversed(found.evidence.list(kind="proof"))}
    rows = [
        (
            name,
            proof.alert.get("alertname"),
            proof.runbook,
            latest[name].verdict if name in latest else "never proven",
            latest[name].started_at.isoformat(timespec="seconds") if name in latest else None,
        )
        for name, proof in found.config.settings.chaos.proofs.items()
    ]
    columns = ("proof", "alert", "runbook", "verdict", "when")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_table(columns, rows, "no proofs in chaos.proofs")


@chaos.command()
@config_option
def sweep() -> None:
    """Undo every fault that a dead run left behind."""
    os.environ.update(parts().config.environment)
    undone = lease.sweep()
    for fault in undone:
        say(f"undone: {fault}")
    if not undone:
        say("nothing was left behind")


@click.command()
@click.argument("name")
@json_option
@config_option
def prove(name: str, *, as_json: bool) -> None:
    """Inject a fault under load, time its detection, run its runbook, time the recovery."""
    found = parts()
    tell = (lambda _line: None) if as_json else say
    evidence = run_proof(found, name, tell)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)
