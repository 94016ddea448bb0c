"""What a run says of itself while it goes on, and whether it should."""

import json
from collections.abc import Callable
from typing import Any

from loadtests.arrivals import WARM_UP, Stage
from loadtests.plan import Plan
from loadtests.recorder import Recorder


class Watch:
    """Says every second how far the run is; ends it when nobody listens or nothing can be won.

    Args:
        plan: what was asked for.
        recorder: of the whole run.
        elapsed: seconds since its beginning.
        ending: a gevent event: set, the run ends.
        hopeless: tells which target cannot be met any more at a moment of the run.
    """

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        elapsed: Callable[[], float],
        ending: Any,
        hopeless: Callable[[float], str],
    ) -> None:
        self.aborted = ""
        self._plan = plan
        self._recorder = recorder
        self._elapsed = elapsed
        self._ending = ending
        self._hopeless = hopeless

    def until_the_end(self, health: Callable[[], tuple[int, float]]) -> None:
        """Print a line at once, every second, and at the end.

        Args:
            health: returns how many shoppers are busy and the share of a core in use.
        """
        over = False
        while not over:
            self._say(*health())
            if not self.aborted and (reason := self._hopeless(self._elapsed())):
                self.aborted = reason
                self._ending.set()
            over = self._ending.wait(1.0)
        self._say(*health())

    def _say(self, busy: int, cpu_ratio: float) -> None:
        now_s, recorder = self._elapsed(), self._recorder
        begun_s, stage = recorder.under_way(now_s)
        line = {
            "elapsed_s": round(now_s, 1),
            "duration_s": self._plan.duration_s,
            "stage": stage.name if stage else WARM_UP,
            "asked_per_s": self._asked(stage, now_s - begun_s),
            **recorder.totals(),
            **recorder.curves.recent(now_s),
            "busy": busy,
            "generator_cpu_ratio": cpu_ratio,
        }
        try:
            print(json.dumps(line), flush=True)  # noqa: T201 - the parent reads it
        except OSError:  # it is gone: load that nobody asks for any more must end
            self._ending.set()

    def _asked(self, stage: Stage | None, after_s: float) -> float | None:
        """Return the journeys per second of the profile; None where users come as they like."""
        if self._plan.think_s is not None:
            return None
        return stage.rate(after_s) if stage else 0.0
