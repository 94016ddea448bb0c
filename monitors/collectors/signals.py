"""What business signals should bring now, and how little of them alarms."""

import time
from collections.abc import Iterable

from prometheus_client.core import Metric

from monitors.families import gauge, value
from storewatch.core.parts import SignalSource

_UP = "Whether it is known what signals should bring."


class SignalCollector:
    """Expectations and bounds; there are none before the first learning and without history."""

    name = "signals"

    def __init__(self, source: SignalSource, timeout_s: float = 1.5) -> None:
        self.timeout_s = timeout_s
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Publish the state of every signal."""
        states = self._source.states(time.time())
        yield value("storewatch_signals_up", _UP, 1)
        yield gauge(
            "storewatch_signal_expected_per_minute",
            "Events per minute expected by weekday and hour.",
            [
                ({"signal": state.name}, state.expected_per_minute)
                for state in states
                if state.expected_per_minute is not None
            ],
        )
        yield gauge(
            "storewatch_signal_lower_bound",
            "Events in the window below which the signal alarms.",
            [
                ({"signal": state.name, "window": f"{minutes}m"}, bound)
                for state in states
                for minutes, bound in state.lower_bounds.items()
            ],
        )
        yield gauge(
            "storewatch_signal_history_ratio",
            "Share of the week's hours for which history suffices.",
            [({"signal": state.name}, state.history_ratio) for state in states],
        )
        yield gauge(
            "storewatch_signal_fitted_timestamp_seconds",
            "Unix time at which the expectation was learnt.",
            [({"signal": state.name}, state.fitted_unix_s) for state in states],
        )

    def down(self) -> Iterable[Metric]:
        """Say that nothing is known."""
        yield value("storewatch_signals_up", _UP, 0)
