"""`anomaly`: what signals should bring, learnt, shown and replayed."""

import time
from pathlib import Path

import click

from alerting.anomaly.backtest import Learning, Replay, read_history, replay
from alerting.anomaly.bounds import smallest_loss
from alerting.anomaly.learn import load
from alerting.anomaly.season import Season
from storewatch.cli.common import config_option, json_option, parts, print_json, print_table, say
from storewatch.core.clock import from_unix, rfc3339
from storewatch.core.figures import number


@click.group()
def anomaly() -> None:
    """Learn what business signals should bring, and replay a history."""


@anomaly.command("run")
@json_option
@config_option
def run_(*, as_json: bool) -> None:
    """Learn every signal's season from Prometheus, as the scheduler does."""
    found = parts()
    seasons = found.learn_seasons(time.time())
    if as_json:
        print_json({name: season.ready_ratio for name, season in seasons.signals.items()})
        return
    for name, season in seasons.signals.items():
        say(f"{name}: {_history(season, found.config.settings.alerting.anomaly.minimum_weeks)}")


@anomaly.command()
@json_option
@config_option
def status(*, as_json: bool) -> None:
    """Show what is expected of every signal now, and the smallest loss that would be seen."""
    found = parts()
    settings, now = found.config.settings.alerting.anomaly, time.time()
    seasons = load(found.seasons_file)
    states = {state.name: state for state in found.signals.states(now)}
    if as_json:
        print_json(
            [
                {
                    "signal": state.name,
                    "expected_per_minute": state.expected_per_minute,
                    "lower_bounds": {f"{m}m": bound for m, bound in state.lower_bounds.items()},
                    "history_ratio": state.history_ratio,
                    "fitted_at": rfc3339(from_unix(state.fitted_unix_s)),
                }
                for state in states.values()
            ]
        )
        return
    rows = []
    for signal in settings.signals:
        season = seasons.signals.get(signal.name) if seasons else None
        state = states.get(signal.name)
        if season is None or state is None or seasons is None:
            rows.append((signal.name, "-", "-", "not learnt yet", "-"))
            continue
        rate = state.expected_per_minute
        loss = smallest_loss(season, rate) if rate else None
        rows.append(
            (
                signal.name,
                "-" if rate is None else f"{rate:.1f}",
                "-" if loss is None else number(loss, "ratio"),
                _history(season, settings.minimum_weeks),
                rfc3339(from_unix(seasons.fitted_at))[:19],
            )
        )
    heads = ("signal", "expected a minute", "loss seen in 8 min", "history", "learnt")
    print_table(heads, rows, "no signals; see alerting.anomaly.signals")


@anomaly.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@config_option
def backtest(file: Path, *, as_json: bool) -> None:
    """Replay a history of minutes (CSV: time,count and, where known, fault) and say what alarms.

    Time zone, weeks and calendar are those of alerting.anomaly.
    """
    settings = parts().config.settings.alerting.anomaly
    history, faults = read_history(file)
    learning = Learning(settings.time_zone, settings.weeks, settings.minimum_weeks)
    found = replay(history, settings.occasions(), learning, faults)
    if as_json:
        print_json(_to_json(found))
    else:
        _tell(found, settings.minimum_weeks)
    missed = len(found.faults) - found.hits
    click.get_current_context().exit(
        3 if found.judged_from is None else 1 if missed or found.false_alarms else 0
    )


def _history(season: Season, minimum_weeks: int) -> str:
    if season.ready_ratio == 1:
        return "suffices"
    return (
        f"not enough for {number(1 - season.ready_ratio, 'ratio')} of the week's hours:"
        f" each needs {minimum_weeks} weeks"
    )


def _tell(found: Replay, minimum_weeks: int) -> None:
    if found.judged_from is None:
        say(f"not enough history: each hour of the week needs {minimum_weeks} weeks before it")
        return
    say(f"judged from {_moment(found.judged_from)} on: {number(found.judged_minutes, 'minutes')}")
    rows = [
        (
            _moment(fault.span.start),
            number(fault.span.end - fault.span.start, "s"),
            "missed" if fault.delay_s is None else "found",
            number(fault.delay_s, "s"),
            number(fault.covered_ratio, "ratio"),
        )
        for fault in found.faults
    ]
    if rows:
        print_table(("fault", "length", "result", "after", "then firing"), rows, "")
    others = found.false_alarms if found.faults else found.alarms
    kind = "false alarm" if found.faults else "alarm"
    for alarm in others:
        say(f"{kind}: {alarm.sign} from {_moment(alarm.span.start)} to {_moment(alarm.span.end)}")
    say(f"{found.hits} of {len(rows)} faults found; {number(len(others), f'{kind}s')}")


def _moment(unix_s: float) -> str:
    return rfc3339(from_unix(unix_s))[:16] + "Z"


def _to_json(found: Replay) -> dict[str, object]:
    return {
        "judged_from": None if found.judged_from is None else _moment(found.judged_from),
        "judged_minutes": found.judged_minutes,
        "hits": found.hits,
        "misses": len(found.faults) - found.hits,
        "faults": [
            {
                "start": _moment(fault.span.start),
                "end": _moment(fault.span.end),
                "delay_s": fault.delay_s,
                "covered_ratio": fault.covered_ratio,
            }
            for fault in found.faults
        ],
        "false_alarms": len(found.false_alarms) if found.faults else None,
        "alarms": [
            {"start": _moment(a.span.start), "end": _moment(a.span.end), "sign": a.sign}
            for a in found.alarms
        ],
    }
