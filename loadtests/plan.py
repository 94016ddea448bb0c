"""What the generator is told: a file, because it runs in a process of its own."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from loadtests.arrivals import Stage, even, poisson
from loadtests.ladder import Ladder
from loadtests.recording import Recording
from storewatch.core.targets import Target


@dataclass(frozen=True, slots=True)
class Share:
    """A journey of the mix: its name, its module:function, and how often it is taken."""

    name: str
    path: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the generator.

    Attributes:
        run: unique; the seed of everything that is drawn.
        journeys: what arrivals do, by weight.
        stages: how many arrive, one stage after the other.
        spacing: `even` or `poisson`.
        recording: whose arrivals are replayed; None: they follow the stages.
        timeout_s: of one request.
        shoppers: virtual shoppers that stand ready; an arrival that finds none idle waits for one
            and its latency still counts from the intended start.
        patience_s: an arrival that waits longer is given up and counted as missed.
        think_s: what users think between journeys on average, in a closed plan: the rates of its
            stages are users. None: arrivals are open.
        ladder: the stages that follow by what the ones before showed.
        targets: by measurement name; a ladder looks for where they break.
        gives_up: whether the run ends once a target cannot be met any more.
    """

    run: str
    journeys: tuple[Share, ...]
    base_url: str
    ca_file: str | None
    stages: tuple[Stage, ...]
    timeout_s: float
    shoppers: int
    patience_s: float
    spacing: str = "even"
    recording: Recording | None = None
    think_s: float | None = None
    ladder: Ladder | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    gives_up: bool = False

    @property
    def duration_s(self) -> float:
        """Seconds over which arrivals are scheduled; with a ladder at most."""
        climb_s = self.ladder.longest_s if self.ladder else 0.0
        return sum(stage.duration_s for stage in self.stages) + climb_s

    @property
    def longest_end_s(self) -> float:
        """Seconds that the generator may take to end once its schedule is over."""
        return self.longest_visit_s + 60

    @property
    def longest_visit_s(self) -> float:
        """Seconds after which a journey under way is given up: a checkout has six steps."""
        return self.timeout_s * 6

    def reached_s(self, elapsed_s: float) -> list[tuple[Stage, float]]:
        """Return each stage with the seconds of it that are over at a moment of the run."""
        found, begun_s = [], 0.0
        for stage in self.stages:
            found.append((stage, min(stage.duration_s, max(0.0, elapsed_s - begun_s))))
            begun_s += stage.duration_s
        return found

    def counted_s(self, elapsed_s: float) -> float:
        """Return the seconds that count and are over at a moment of the run."""
        return sum(over_s for stage, over_s in self.reached_s(elapsed_s) if stage.counts)

    def arrivals(self, stages: Iterable[Stage] | None = None) -> Iterator[tuple[float, str]]:
        """Yield the intended starts, in seconds from the beginning, and the journey of each.

        Args:
            stages: those of the run as they become known; None: those of the plan.
        """
        chance = random.Random(f"{self.run} mix")  # not the stream that draws the moments
        names, weights = self.mix
        for moment in self._moments(self.stages if stages is None else stages):
            yield moment, chance.choices(names, weights)[0]

    @property
    def mix(self) -> tuple[list[str], list[float]]:
        """The names of the journeys and their weights."""
        return [one.name for one in self.journeys], [one.weight for one in self.journeys]

    def _moments(self, stages: Iterable[Stage]) -> Iterable[float]:
        if self.recording is not None:
            if self.recording.moments:
                return self.recording.moments
            stages = self.recording.rates
        return even(stages) if self.spacing == "even" else poisson(stages, self.run)

    def ran(self, stages: Sequence[Mapping[str, Any]]) -> "Plan":
        """Return the plan as it went, by the stages of a summary."""
        return replace(self, stages=tuple(Stage(**one) for one in stages), ladder=None)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        targets = {name: str(target) for name, target in self.targets.items()}
        return {**asdict(replace(self, targets={})), "targets": targets}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Plan":
        """Return the plan that `to_json` wrote."""
        return cls(
            **{
                **raw,
                "journeys": tuple(Share(**one) for one in raw["journeys"]),
                "stages": tuple(Stage(**one) for one in raw["stages"]),
                "recording": raw["recording"] and _recording(raw["recording"]),
                "ladder": Ladder(**raw["ladder"]) if raw["ladder"] else None,
                "targets": {name: Target.parse(text) for name, text in raw["targets"].items()},
            }
        )

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan written by `write`."""
        return cls.from_json(json.loads(path.read_text()))


def _recording(raw: Mapping[str, Any]) -> Recording:
    return Recording(tuple(raw["moments"]), tuple(Stage(**one) for one in raw["rates"]))
