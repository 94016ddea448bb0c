"""`load gate`: whether a release may go live."""

import click

from storewatch.cli.common import config_option, end_with, json_option, parts, reporting
from storewatch.gating import run_gate


@click.command()
@click.argument("release")
@click.option("--policy", required=True, help="Of loadtests.policies.")
@click.option("--fail-fast", is_flag=True, help="The first FAIL or INVALID ends it.")
@json_option
@config_option
def gate(release: str, *, policy: str, fail_fast: bool, as_json: bool) -> None:
    """Run what a policy asks of RELEASE, as it is deployed now, and give one verdict."""
    found = parts()
    with reporting() as report:
        evidence = run_gate(
            found,
            release,
            policy,
            report,
            lambda line: click.echo(line, err=True),
            fail_fast=fail_fast,
        )
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


COMMANDS = (gate,)
