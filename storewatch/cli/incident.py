"""`incident`: what the desk holds."""

import getpass

import click

from storewatch.cli.common import config_option, json_option, parts, print_json, print_table, say


@click.group()
def incident() -> None:
    """List, show, acknowledge and resolve incidents."""


@incident.command("list")
@click.option("--all", "everything", is_flag=True, help="Resolved ones too.")
@json_option
@config_option
def list_(*, everything: bool, as_json: bool) -> None:
    """List unresolved incidents, newest first."""
    found = parts().incidents.list(unresolved_only=not everything)
    if as_json:
        print_json([one.to_json() for one in found])
        return
    rows = [(i.id, i.state, i.severity, i.alert, i.summary, i.opened_at[:19]) for i in found]
    empty = "no incidents" if everything else "no unresolved incidents"
    print_table(("incident", "state", "severity", "alert", "what", "opened"), rows, empty)


@incident.command()
@click.argument("identifier")
@json_option
@config_option
def show(identifier: str, *, as_json: bool) -> None:
    """Show an incident with its time line."""
    one = parts().incidents.get(identifier)
    if as_json:
        print_json(one.to_json())
        return
    say(f"{one.alert} ({one.severity}): {one.state}")
    say(one.summary)
    say(f"labels: {' '.join(f'{k}={v}' for k, v in one.labels.items())}")
    say(f"runbook: {one.runbook}")
    for event in one.timeline:
        say(f"{event.at}  {event.kind}: {event.text}")


@incident.command()
@click.argument("identifier")
@click.option("--by", default=getpass.getuser, help="Default: your account.")
@config_option
def ack(identifier: str, by: str) -> None:
    """Say that somebody is on it."""
    one = parts().incidents.acknowledge(identifier, by)
    say(f"{one.alert} is acknowledged by {by}")


@incident.command()
@click.argument("identifier")
@click.option("--by", default=getpass.getuser, help="Default: your account.")
@config_option
def resolve(identifier: str, by: str) -> None:
    """End an incident by hand."""
    one = parts().incidents.resolve(identifier, by)
    say(f"{one.alert} is resolved by {by}")
