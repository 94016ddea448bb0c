"""A run of steps as the generator records it, made from a law instead of a shop."""

from collections.abc import Sequence
from typing import Any

from loadtests.arrivals import WARM_UP, Stage
from loadtests.plan import Plan, Share
from loadtests.usl import Usl

RATES = (40, 80, 120, 160, 200, 240, 280, 320)
SHOP = Usl(20, 0.05, 0)  # comes near 400 visits/s


def run_of(
    law: Usl, rates: Sequence[float], hold_s: float = 60.0, shoppers: int = 200
) -> tuple[dict[str, Any], Plan]:
    """Return summary and plan of an even run on a shop of that law, three requests a visit."""
    stages = [Stage(WARM_UP, 5, rates[0], rates[0], counts=False)]
    stages += [Stage(f"step-{n}", hold_s, rate, rate) for n, rate in enumerate(rates, 1)]
    plan = Plan(
        run="r",
        journeys=(Share("buy", "m:f"),),
        base_url="http://127.0.0.1:9",
        ca_file=None,
        stages=tuple(stages),
        timeout_s=10,
        shoppers=shoppers,
        patience_s=10,
    )
    rows = []
    for stage in stages:
        best = law.highest(shoppers)
        done_per_s = min(stage.start_rate, best)
        inside = next(
            (n / 10 for n in range(1, 10 * shoppers) if law.at(n / 10) >= done_per_s), shoppers
        )
        visits = stage.duration_s * stage.start_rate
        rows.append(
            {
                "name": stage.name,
                "visits": round(visits),
                "visits_failed": 0,
                "arrivals_missed": 0,
                "requests": round(3 * stage.duration_s * done_per_s),
                "requests_failed": 0,
                "visit": {"mean_s": inside / done_per_s if done_per_s < best else 30.0},
            }
        )
    summary = {
        "duration_s": plan.duration_s,
        "generator_cpu_ratio": 0.3,
        "lateness": {"p99_s": 0.002},
        "waking": {"p99_s": 0.001},
        "arrivals_missed": 0,
        "lost_workers": "",
        "sockets_exhausted": 0,
        "orders_acknowledged": sum(row["visits"] for row in rows) // 4,
        "by_stage": rows,
    }
    return summary, plan
