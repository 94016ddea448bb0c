"""What leads a run: which stages come, and whether it is worth going on."""

from collections.abc import Callable

from loadtests import prospects
from loadtests.arrivals import Stage
from loadtests.ladder import STEP, Outcome, bracket
from loadtests.plan import Plan
from loadtests.recorder import Recorder

# Judged so long before a pause ends, so that the next step begins in time.
_AHEAD_S = 0.25
# A run is not given up for what its first seconds show.
_PATIENCE_S = 10.0


class Conductor:
    """Leads one run by what its recorder knows.

    Args:
        plan: what was asked for.
        recorder: of the whole run.
        announce: tells whoever makes load of a stage; None: no more will come.
        wait_until: returns at a moment of the run, in seconds from its beginning.
    """

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        announce: Callable[[Stage | None], None],
        wait_until: Callable[[float], None],
    ) -> None:
        self.plan = plan
        self.recorder = recorder
        self.outcomes: list[Outcome] = []
        self._announce = announce
        self._wait_until = wait_until

    def lead(self) -> None:
        """Announce the stages, those of a ladder by what the ones before showed."""
        for stage in self.plan.stages:
            self._announce(stage)
        if self.plan.ladder:
            self._climb()
        self._announce(None)

    def _climb(self) -> None:
        assert self.plan.ladder is not None
        while (rate := self.plan.ladder.next_rate(self.outcomes)) is not None:
            for stage in self.plan.ladder.stages(len(self.outcomes) + 1, rate):
                self._announce(stage)
            self._wait_until(self.recorder.end_s - _AHEAD_S)
            position = len(self.recorder.stages) - 2
            row, steps = self.recorder.stage(position), self.recorder.steps_of(position)
            self.outcomes.append((rate, prospects.held(row, steps, self.plan.targets)))
        sustained, _ = bracket(self.outcomes)
        for position, stage in enumerate(self.recorder.stages):
            if stage.name.startswith(STEP) and stage.end_rate == sustained:
                self.recorder.count_in(position)

    def hopeless(self, elapsed_s: float) -> str:
        """Return which target cannot be met any more, "" while all can."""
        if not self.plan.gives_up or self.plan.ladder:
            return ""
        counting = [stage for stage in self.plan.stages if stage.counts]
        counting_s = sum(stage.duration_s for stage in counting)
        reached_s = self.plan.counted_s(elapsed_s)
        if reached_s < min(_PATIENCE_S, counting_s):
            return ""
        figures, steps = self.recorder.counting(), self.recorder.steps_of()
        journeys = sum(stage.journeys for stage in counting)
        if self.plan.think_s is not None:  # how many come depends on the shop
            visits = sum(cell.visits for one in figures for cell in one.cells.values())
            journeys = visits * counting_s / reached_s
        return prospects.hopeless(figures, steps, journeys, self.plan.targets)
