"""A performance claim: our figure beside its peer's, taken in the same run."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from storewatch.core.targets import Target, Verdict

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of `bench.json`; `ratio` is ours divided by the peer's.

    The target judges the ratio, or with `absolute` our value itself.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float | None
    target: Target
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's; None without a peer."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def verdict(self) -> Verdict:
        """What the target judges; a figure without its peer is INCONCLUSIVE."""
        return self.target.judge(self.value if self.absolute and self.ratio else self.ratio)

    def to_json(self) -> dict[str, Any]:
        """Return the figure in the form of bench.json."""
        derived = {"ratio": self.ratio, "target": str(self.target), "verdict": self.verdict}
        own = {key: value for key, value in asdict(self).items() if key != "absolute"}
        return {**own, **derived}


def per_cpu_second(ours: Callable[[], int], peers: Callable[[], int]) -> tuple[float, float]:
    """Return units of work per CPU-second of both, the best of alternating rounds.

    Args:
        ours, peers: do some work and return how many units it was.
    """
    best = [0.0, 0.0]
    for _ in range(_ROUNDS):
        for index, work in enumerate((ours, peers)):
            before = time.process_time()
            units = work()
            best[index] = max(best[index], units / (time.process_time() - before))
    return best[0], best[1]
