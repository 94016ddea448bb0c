"""`runbook`: pages that run."""

import click

from runbooks.page import SECTIONS
from storewatch.cli.common import config_option, json_option, parts, print_json, print_table, say
from storewatch.core.errors import UsageError
from storewatch.wiring import REPAIR_SECTIONS


@click.group()
def runbook() -> None:
    """List, show and run runbook pages."""


@runbook.command("list")
@json_option
@config_option
def list_(*, as_json: bool) -> None:
    """List the pages."""
    library = parts().runbooks
    pages = [library.page(name) for name in library.names()]
    if as_json:
        print_json([{"page": p.alert, "severity": p.severity, "title": p.title} for p in pages])
        return
    rows = [(p.alert, p.severity, p.owner_role, len(p.steps), p.title) for p in pages]
    print_table(("page", "severity", "first in line", "steps", "title"), rows, "no pages")


@runbook.command()
@click.argument("name")
@config_option
def show(name: str) -> None:
    """Print a page."""
    click.echo_via_pager(parts().runbooks.page(name).text)


@runbook.command()
@click.argument("name")
@click.option(
    "--section",
    "sections",
    multiple=True,
    type=click.Choice(SECTIONS),
    help="Default: mitigation, verify.",
)
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="A page's parameter.")
@json_option
@config_option
def run(name: str, sections: tuple[str, ...], values: tuple[str, ...], *, as_json: bool) -> None:
    """Run the steps of a page, in order; the first that fails ends it."""
    parameters = dict(_pair(value) for value in values)
    tell = (lambda _line: None) if as_json else say
    result = parts().run_runbook(name, sections or REPAIR_SECTIONS, parameters, tell)
    if as_json:
        print_json([one.to_json() for one in result.results])
    elif not result.results:
        say(f"{name} has no steps in {', '.join(sections or REPAIR_SECTIONS)}")
    click.get_current_context().exit(0 if result.ok else 1)


def _pair(value: str) -> tuple[str, str]:
    name, equals, rest = value.partition("=")
    if not equals:
        raise UsageError(f"--set {value!r}: write NAME=VALUE, such as --set instance=app-1")
    return name, rest
