"""What the generator is told: a file, because it runs in a process of its own."""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.arrivals import Stage, even, poisson


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
        moments: the intended starts of a recording, in seconds; empty for those of the stages.
        timeout_s: of one request.
        shoppers: virtual shoppers that stand ready; an arrival that finds none idle waits for one
            and its latency still counts from the intended start.
        patience_s: an arrival that waits longer is given up and counted as missed.
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
    moments: tuple[float, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds over which arrivals are scheduled."""
        return sum(stage.duration_s for stage in self.stages)

    @property
    def longest_end_s(self) -> float:
        """Seconds that the generator may take to end once its schedule is over."""
        return self.longest_visit_s + 60

    @property
    def longest_visit_s(self) -> float:
        """Seconds after which a journey under way is given up: a checkout has six steps."""
        return self.timeout_s * 6

    def arrivals(self) -> Iterator[tuple[float, str]]:
        """Yield the intended starts, in seconds from the beginning, and the journey of each."""
        chance = random.Random(f"{self.run} mix")  # not the stream that draws the moments
        names = [one.name for one in self.journeys]
        weights = [one.weight for one in self.journeys]
        for moment in self._moments():
            yield moment, chance.choices(names, weights)[0]

    def _moments(self) -> Iterable[float]:
        if self.moments:
            return self.moments
        return even(self.stages) if self.spacing == "even" else poisson(self.stages, self.run)

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan written by `write`."""
        raw: dict[str, Any] = json.loads(path.read_text())
        raw["journeys"] = tuple(Share(**one) for one in raw["journeys"])
        raw["stages"] = tuple(Stage(**one) for one in raw["stages"])
        raw["moments"] = tuple(raw["moments"])
        return cls(**raw)
