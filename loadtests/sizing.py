"""How many instances a load needs, with what that assumes."""

import math
from dataclasses import dataclass

from loadtests.usl import EXTRAPOLATION

# Source: requirements R2: plan for a concurrency of ten million.
SHOPPERS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is taken for granted.

    Attributes:
        instances: of the shop, when it was measured.
        headroom: share of capacity that stays free.
        contention: share of the work that all instances do one after the other.
        think_time_s: between two requests of a shopper. Source: TPC-W 1.8, clause 5.3: mean 7 s.
        order_ratio: orders for each visit; None: as in the run.
    """

    instances: int = 1
    headroom: float = 0.3
    contention: float = 0.0
    think_time_s: float = 7.0
    order_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Sizing:
    """The instances for one load.

    Attributes:
        per_s: visits per second.
        instances: None where no number of them is enough.
        measured: whether it is near enough to what was measured to count as more than a guess.
    """

    per_s: float
    instances: int | None
    measured: bool


def size(per_s: float, planned_per_s: float, best_per_s: float, assumed: Assumptions) -> Sizing:
    """Return the instances for a load.

    Instances share what does not grow with them: m of them carry m / (1 + c (m - 1)) times what
    one does. Without contention that is m.

    Source: Amdahl's law, as in Gunther's law without coherency.

    Args:
        per_s: visits per second that are wanted.
        planned_per_s: what the measured installation is counted on for.
        best_per_s: the most that it was seen to do.
        assumed: what is taken for granted.
    """
    contention, measured = assumed.contention, assumed.instances
    alone_per_s = planned_per_s * (1 + contention * (measured - 1)) / measured
    usable_per_s = alone_per_s * (1 - assumed.headroom)
    near = per_s <= EXTRAPOLATION * best_per_s
    if usable_per_s <= 0:
        return Sizing(per_s, None, near)
    times = per_s / usable_per_s
    if contention * times >= 1:
        return Sizing(per_s, None, near)
    needed = times * (1 - contention) / (1 - contention * times)
    return Sizing(per_s, max(1, math.ceil(needed - 1e-9)), near)


def visits_of(
    shoppers: float, response_s: float, think_time_s: float, requests_per_visit: float
) -> float:
    """Return the visits per second that so many shoppers make at once.

    Source: the interactive response time law, N = X (R + Z); E. Lazowska et al., Quantitative
    System Performance (Prentice Hall 1984), chapter 3.

    Args:
        shoppers: on the site at the same time.
        response_s: of one request.
        think_time_s: between an answer and the next request.
        requests_per_visit: of one visit.
    """
    return shoppers / (response_s + think_time_s) / requests_per_visit


def sentences(assumed: Assumptions, response_s: float, requests_per_visit: float) -> list[str]:
    """Return what an answer assumes, one line each."""
    ratio = assumed.order_ratio
    orders = "unknown: the run acknowledged none" if ratio is None else f"{ratio:.3g}"
    return [
        f"assumed: {assumed.instances} instance(s) were measured (--instances)",
        "assumed: plans count on the lower bound of capacity, never on more than was measured,"
        f" and {assumed.headroom:.0%} of it stay free (--headroom)",
        "assumed: instances add up while what they share (database, cache, edge, payment) does not"
        f" saturate; {assumed.contention:.2%} of the work is shared (--contention). If the database"
        " was the limit of the run, more instances do not help",
        f"assumed: beyond {EXTRAPOLATION:g} times what was measured a number of instances is a"
        " hypothesis that a load test has to check",
        f"assumed: a visit is {requests_per_visit:.3g} requests, as in the run; orders for each"
        f" visit: {orders} (--order-ratio)",
        f"assumed: shoppers think {assumed.think_time_s:g} s between two requests (--think-time)"
        f" and wait {response_s * 1000:.3g} ms for an answer, the shortest mean of the run",
    ]
