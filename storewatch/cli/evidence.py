"""`evidence`: the record of every rehearsal."""

import click

from storewatch.cli.common import (
    config_option,
    end_with,
    json_option,
    parts,
    print_json,
    print_table,
)
from storewatch.core.evidence import KINDS
from storewatch.core.figures import moment, number


@click.group()
def evidence() -> None:
    """List and show evidence."""


@evidence.command("list")
@click.option("--kind", type=click.Choice(KINDS))
@click.option("--subject")
@json_option
@config_option
def list_(kind: str | None, subject: str | None, *, as_json: bool) -> None:
    """List evidence, newest first."""
    found = parts().evidence.list(kind, subject)
    if as_json:
        print_json([one.to_json() for one in found])
        return
    rows = [
        (e.id, e.kind, e.subject, e.verdict, moment(e.started_at), number(e.duration_s, "s"))
        for e in found
    ]
    columns = ("evidence", "kind", "subject", "verdict", "started", "took")
    print_table(columns, rows, "no evidence yet; `storewatch load run checkout` makes some")


@evidence.command()
@click.argument("identifier")
@json_option
@config_option
def show(identifier: str, *, as_json: bool) -> None:
    """Show one record; ends by its verdict."""
    store = parts().evidence
    one = store.get(identifier)
    end_with(one, store.folder(one), as_json=as_json)
