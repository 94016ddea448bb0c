"""`alert`: who would be told of an alert, and whether a receiver can be reached."""

import click

from alerting.notify import send_test
from alerting.receivers import NOBODY, integrations
from alerting.routing import Muted, Told, inhibited, maintained, told
from alerting.rules import compile_rules
from storewatch.cli.common import config_option, json_option, parts, print_json, say
from storewatch.core.clock import utc_now
from storewatch.core.errors import UnreachableError, UsageError
from storewatch.core.parts import Labels
from storewatch.core.targets import Verdict
from storewatch.wiring import Parts

_NOW = {True: "now", False: "not now", None: "now: unknown, Alertmanager does not answer"}


@click.group()
def alert() -> None:
    """Ask who would be told, and try it."""


@alert.command()
@click.argument("labels", nargs=-1, required=True, metavar="LABEL=VALUE")
@json_option
@config_option
def route(labels: tuple[str, ...], *, as_json: bool) -> None:
    """Say who would be told of an alert with these labels, and why.

    Labels that the alert's rule sets itself need not be given.
    """
    found = parts()
    given = dict(_pair(text) for text in labels)
    try:
        firing = found.alertmanager.firing()
    except UnreachableError:
        firing = None
    answers = [_answer(found, one, firing) for one in _complete(found, given)]
    if as_json:
        print_json(
            [
                {
                    "labels": one,
                    "told": [each.to_json() for each in receivers],
                    "muted": [each.to_json() for each in muted],
                }
                for one, receivers, muted in answers
            ]
        )
        return
    for answer in answers:
        _explain(*answer)


def _answer(
    found: Parts, labels: Labels, firing: list[Labels] | None
) -> tuple[Labels, list[Told], list[Muted]]:
    """Return labels, who is told of them, and what mutes that."""
    config, windows = found.alertmanager_config, found.config.settings.alerting.maintenance
    answers = told(config, labels)
    muted = [*inhibited(config, labels, firing), *maintained(windows, answers, utc_now())]
    return labels, answers, muted


def _explain(labels: Labels, answers: list[Told], muted: list[Muted]) -> None:
    say(" ".join(f'{name}="{value}"' for name, value in labels.items()))
    for one in answers:
        by = ", ".join(one.integrations) or "nothing: the receiver has no address"
        say(f"  told: {one.receiver} ({by})")
        say(f"    because: {' > '.join(one.path) or 'every alert'}")
        group = " ".join(f'{name}="{value}"' for name, value in one.group.items())
        say(f"    in one message with others of: {group or 'any labels'}")
        timing = one.timing
        say(
            f"    after {timing['group_wait']}, what changes after {timing['group_interval']},"
            f" again after {timing['repeat_interval']}"
        )
    if not answers:
        say("  told: nobody")
    for reason in muted:
        say(f"  muted {reason.why} ({_NOW[reason.now]})")


@alert.command()
@click.argument("receiver")
@click.option(
    "--within",
    type=click.FloatRange(min=1),
    default=15.0,
    show_default=True,
    help="Seconds to wait.",
)
@json_option
@config_option
def test(receiver: str, within: float, *, as_json: bool) -> None:
    """Send a test notification to a receiver and say whether it was delivered.

    Ends with 1 when it was refused, 3 when nothing was seen in time.
    """
    found = parts()
    known = {
        one["name"]: integrations(one)
        for one in found.alertmanager_config["receivers"]
        if one["name"] != NOBODY
    }
    if receiver not in known:
        raise UsageError(f"no receiver {receiver!r}; there are: {', '.join(known)}")
    if not known[receiver]:
        raise UsageError(f"the receiver {receiver} has no address; set heartbeat_url")
    delivery = send_test(found.alertmanager_url, receiver, known[receiver], within)
    if as_json:
        print_json(
            {
                "receiver": receiver,
                "verdict": delivery.verdict.value,
                "delivered": delivery.delivered,
                "failed": delivery.failed,
                "took_s": round(delivery.took_s, 3),
            }
        )
    else:
        say(_outcome(receiver, delivery.verdict, delivery.failed, delivery.took_s))
    click.get_current_context().exit(delivery.verdict.exit_code)


def _outcome(receiver: str, verdict: Verdict, failed: dict[str, int], took_s: float) -> str:
    if verdict is Verdict.PASS:
        return f"{receiver}: delivered in {took_s:.1f} s"
    if verdict is Verdict.FAIL:
        return f"{receiver}: refused by {', '.join(failed)}; Alertmanager's log says why"
    return (
        f"{receiver}: nothing was seen in {took_s:.0f} s; does Alertmanager run with this"
        " configuration?"
    )


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise UsageError(f"{text!r} is no label; write such as alertname=CheckoutFailing")
    return name, value.strip('"')


def _complete(found: Parts, given: dict[str, str]) -> list[dict[str, str]]:
    """Return labels with those that the alert's rules set, once for each set that differs."""
    met: list[dict[str, str]] = []
    for group in compile_rules(found.config.settings.alerting)["groups"]:
        for rule in group["rules"]:
            if rule.get("alert", "") != given.get("alertname"):
                continue
            own = rule["labels"]
            complete = {"alertname": rule["alert"], **own, **given}
            if complete not in met and complete.items() >= own.items():
                met.append(complete)
    if not met:
        click.echo("storewatch: no rule of ours sets these labels; taken as they are", err=True)
    return met or [given]
