"""`slo`: what is promised, and how much of each error budget is left."""

import click

from alerting.slo import Slo
from alerting.slo_status import describe, read_status, verdict_of
from storewatch.cli.common import config_option, json_option, parts, print_json, print_table, say
from storewatch.core.errors import UsageError
from storewatch.core.figures import number


@click.group()
def slo() -> None:
    """Service level objectives and their error budgets."""


@slo.command("list")
@json_option
@config_option
def list_(*, as_json: bool) -> None:
    """List the objectives, without asking Prometheus."""
    found = parts().service_levels
    if as_json:
        print_json([describe(one) for one in found])
        return
    rows = [
        (one.id, f"{one.objective:g} %", f"{one.period_days} d", one.sli.kind, one.description)
        for one in found
    ]
    print_table(("slo", "objective", "over", "indicator", "promise"), rows, "no objectives")


@slo.command()
@click.argument("names", nargs=-1, metavar="[ID]")
@json_option
@config_option
def status(names: tuple[str, ...], *, as_json: bool) -> None:
    """Show what is left of each error budget; of those named, else of all.

    Ends with 1 when one is spent or releases are frozen, 3 when one has no data.
    """
    found = parts()
    settings = found.config.settings.alerting
    statuses = read_status(
        found.prometheus_url,
        _wanted(found.service_levels, names),
        settings.error_budget_policy,
        settings.thresholds.burn_events_min,
    )
    verdict = verdict_of(statuses)
    if as_json:
        print_json({"verdict": verdict.value, "slos": [one.to_json() for one in statuses]})
    else:
        rows = [
            (
                one.slo.id,
                f"{one.slo.objective:g} % over {one.slo.period_days} d",
                "" if one.remaining is None else f"{one.remaining:.1%}",
                "" if one.burn_rate is None else f"{one.burn_rate:.2f}",
                "" if one.bad_events is None else number(round(one.bad_events)),
                one.state,
                one.level.action if one.level else one.note,
            )
            for one in statuses
        ]
        columns = ("slo", "objective", "budget left", "burn rate", "bad events", "state", "")
        print_table(columns, rows, "no objectives")
        say(f"error budgets: {verdict}")
    click.get_current_context().exit(verdict.exit_code)


def _wanted(slos: list[Slo], names: tuple[str, ...]) -> list[Slo]:
    """Return the named ones, all without a name.

    Raises:
        UsageError: no such id.
    """
    by_id = {one.id: one for one in slos}
    for name in names:
        if name not in by_id:
            raise UsageError(f"no SLO {name!r}; there are: {', '.join(by_id) or 'none'}")
    return [by_id[name] for name in names] or slos
