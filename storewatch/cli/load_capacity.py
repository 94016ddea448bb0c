"""`load capacity`: what the shop can carry, and how many instances a load needs."""

from typing import Any

import click

from loadtests.capacity_run import run_capacity
from loadtests.sizing import Assumptions
from storewatch.cli.common import config_option, end_with, json_option, parts
from storewatch.schema import parse_duration

_ABOVE_ZERO = click.FloatRange(min=0, min_open=True)
_SHARE = click.FloatRange(min=0, max=1, max_open=True)


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is {error}") from None


@click.command("capacity")
@click.argument("identifier", required=False)
@click.option("--orders-per-second", type=_ABOVE_ZERO, help="How many instances this takes.")
@click.option(
    "--instances",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of the shop, when it was loaded.",
)
@click.option("--headroom", type=_SHARE, default=0.3, show_default=True, help="Share to keep free.")
@click.option(
    "--contention",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Share of the work that all instances do one after the other.",
)
@click.option(
    "--think-time",
    callback=_seconds,
    default="7s",
    show_default=True,
    help="Of a shopper, between two requests.",
)
@click.option("--order-ratio", type=_ABOVE_ZERO, help="Orders for each visit; default: the run's.")
@json_option
@config_option
def capacity_(
    identifier: str | None, orders_per_second: float | None, *, as_json: bool, **assumed: Any
) -> None:
    """Fit the Universal Scalability Law to a load run (the newest with steps), and size by it.

    Ends with 3 where the data do not carry an answer.
    """
    think_time_s = assumed.pop("think_time")
    evidence = run_capacity(
        parts().evidence,
        identifier,
        Assumptions(think_time_s=think_time_s, **assumed),
        orders_per_second,
    )
    end_with(evidence, parts().evidence.folder(evidence), as_json=as_json)


COMMANDS = (capacity_,)
