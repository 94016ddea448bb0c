"""What the generator is told: a file, because it runs in a process of its own."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the generator.

    `journey` is module:function; durations in seconds; `shoppers` virtual shoppers stand ready, an
    arrival that finds none idle waits for one and its latency still counts from the intended start;
    one that waits longer than `patience_s` is given up and counted as missed.
    """

    run: str
    journey: str
    base_url: str
    ca_file: str | None
    rate: float
    warm_up_s: float
    hold_s: float
    timeout_s: float
    shoppers: int
    patience_s: float

    @property
    def duration_s(self) -> float:
        """Seconds over which arrivals are scheduled."""
        return self.warm_up_s + self.hold_s

    @property
    def longest_end_s(self) -> float:
        """Seconds that the generator may take to end once its schedule is over."""
        return self.longest_visit_s + 60

    @property
    def longest_visit_s(self) -> float:
        """Seconds after which a journey under way is given up: a checkout has six steps."""
        return self.timeout_s * 6

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan written by `write`."""
        return cls(**json.loads(path.read_text()))
