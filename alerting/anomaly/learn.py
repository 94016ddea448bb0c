"""Learn the seasons of all signals from Prometheus, keep them, and tell what is expected now."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alerting.anomaly.bounds import Expectation, Occasion, bounds
from alerting.anomaly.rules import ALERT
from alerting.anomaly.season import WEEK_S, History, Season, Span, fit, hours
from alerting.anomaly.settings import AnomalySettings, SignalSettings
from alerting.incident import Incident
from alerting.windows import Severity
from storewatch.core.clock import parse_rfc3339
from storewatch.core.errors import AlertError
from storewatch.core.parts import SignalState
from storewatch.store.files import write_atomic

_STEP_S = 300

Points = Sequence[tuple[float, float | None]]
RangeQuery = Callable[[str, float, float, float], Points]
"""PromQL, start and end in Unix seconds, step in seconds -> points of its first series."""


@dataclass(frozen=True, slots=True)
class Seasons:
    """What was learnt at a moment in Unix seconds, by signal."""

    fitted_at: float
    signals: Mapping[str, Season]


def learn(
    settings: AnomalySettings,
    query: RangeQuery,
    now: float,
    incidents: Sequence[Incident],
) -> Seasons:
    """Learn every signal's season.

    Args:
        settings: signals, calendar, how far to look back.
        query: of Prometheus.
        now: Unix seconds.
        incidents: all of them; time in which the shop was not itself is not learnt from.
    """
    occasions = [occasion.span for occasion in settings.occasions()]
    learnt = {}
    for signal in settings.signals:
        excluded = [*troubled(incidents, now, signal.name), *occasions]
        history = read_history(signal, query, now, settings.weeks)
        learnt[signal.name] = fit(
            hours(history, excluded),
            now,
            zone=settings.time_zone,
            weeks=settings.weeks,
            minimum_weeks=settings.minimum_weeks,
        )
    return Seasons(now, learnt)


def troubled(incidents: Iterable[Incident], now: float, signal: str) -> list[Span]:
    """Return the time of all pages and of the signal's own alarms, until now where still open.

    A fault is not to be learnt, and that of a signal may be a ticket.
    """
    return [
        Span(_unix(one.opened_at), _unix(one.resolved_at) if one.resolved_at else now)
        for one in incidents
        if one.severity == Severity.PAGE
        or (one.alert == ALERT and one.labels.get("signal") == signal)
    ]


def _unix(moment: str) -> float:
    return parse_rfc3339(moment).timestamp()


def read_history(signal: SignalSettings, query: RangeQuery, now: float, weeks: int) -> History:
    """Return a signal's events in steps of five minutes, NaN where Prometheus knows nothing."""
    end = int(now) // _STEP_S * _STEP_S
    start = end - weeks * WEEK_S
    counts = [math.nan] * (weeks * WEEK_S // _STEP_S)
    expression = f"sum(increase({signal.counter}[5m]))"
    for week in range(weeks):  # Prometheus refuses more than 11 000 points at once
        first = start + week * WEEK_S + _STEP_S
        for moment, value in query(expression, first, first + WEEK_S - _STEP_S, _STEP_S):
            index = round((moment - start) / _STEP_S) - 1
            counts[index] = math.nan if value is None else value
    return History(start, _STEP_S, counts)


def save(seasons: Seasons, file: Path) -> None:
    """Write what was learnt."""
    signals = {name: asdict(season) for name, season in seasons.signals.items()}
    content = json.dumps({"fitted_at": seasons.fitted_at, "signals": signals})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, content.encode())


def load(file: Path) -> Seasons | None:
    """Read what was learnt; None when nothing was yet.

    Raises:
        AlertError: the file is not what `save` wrote.
    """
    try:
        found = json.loads(file.read_text())
        signals = {
            name: Season(**{**season, "middle": tuple(season["middle"])})
            for name, season in found["signals"].items()
        }
        return Seasons(float(found["fitted_at"]), signals)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise AlertError(
            f"{file}: not what was learnt ({error}); `storewatch anomaly run` writes it anew"
        ) from error


class Signals:
    """What is expected of every signal now; read anew whenever the job has written.

    Args:
        settings: the calendar and the signals.
        file: where the job writes.
    """

    def __init__(self, settings: AnomalySettings, file: Path) -> None:
        self._names = [signal.name for signal in settings.signals]
        self._calendar: tuple[Occasion, ...] = settings.occasions()
        self._file = file

    def states(self, now: float) -> Sequence[SignalState]:
        """Return the signals at a moment in Unix seconds; none before the first run."""
        seasons = load(self._file)
        if seasons is None:
            return []
        known = [(name, seasons.signals[name]) for name in self._names if name in seasons.signals]
        return [self._state(name, season, seasons.fitted_at, now) for name, season in known]

    def _state(self, name: str, season: Season, fitted_at: float, now: float) -> SignalState:
        minute = now // 60 * 60
        expectation = Expectation(season, self._calendar, Span(minute - 60, minute))
        return SignalState(
            name=name,
            expected_per_minute=expectation.events(minute, 1),
            lower_bounds=bounds(season, self._calendar, now),
            history_ratio=season.ready_ratio,
            fitted_unix_s=fitted_at,
        )
