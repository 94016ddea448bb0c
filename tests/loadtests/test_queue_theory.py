"""The closed forms and the recursion are two ways to one answer."""

from collections.abc import Callable

import pytest
import queue_theory
from load_queues import Queue

from loadtests.arrivals import Stage, even, poisson


@pytest.mark.parametrize(
    ("queue", "rate", "below"),
    [
        (Queue(0.01, exponential=True), 60, queue_theory.exponential(1, 60, 0.01)),
        (Queue(0.01), 60, queue_theory.constant(60, 0.01)),
        (Queue(0.1, exponential=True, slots=10), 70, queue_theory.exponential(10, 70, 0.1)),
    ],
    ids=["exponential", "constant", "ten slots"],
)
def test_what_a_long_recursion_finds_is_what_the_closed_form_says(
    queue: Queue, rate: float, below: Callable[[float], float]
) -> None:
    moments = poisson([Stage("hold", 2000.0, rate, rate)], "seed")
    arrivals = ((moment, queue.service_s(number)) for number, moment in enumerate(moments))
    found = sorted(latency for latency, _ in queue_theory.responses(queue, arrivals, 500))
    for percentile, tolerance in ((50, 0.02), (90, 0.03), (99, 0.08)):
        theory = queue_theory.quantile(below, percentile)
        assert queue_theory.at(found, percentile) == pytest.approx(theory, rel=tolerance)


def test_published_values_of_the_formulas() -> None:
    # M/M/1 is exponential with mu - lambda: its median is ln 2 / 40.
    one = queue_theory.exponential(1, 60, 0.01)
    assert queue_theory.quantile(one, 50) == pytest.approx(0.693147 / 40, abs=1e-6)
    # M/D/1: nobody waits with 1 - rho; within one service the sum has one term.
    fixed = queue_theory.constant(60, 0.01)
    assert fixed(0.0099) == 0
    assert fixed(0.01) == pytest.approx(0.4)
    assert fixed(0.015) == pytest.approx(0.4 * 2.718281828**0.3)


@pytest.mark.parametrize("senders", [10, 300])
def test_a_stop_costs_the_same_from_the_intended_start_however_many_connections(
    senders: int,
) -> None:
    queue = Queue(0.004, stop_at_s=3, stop_s=2)
    arrivals = [(moment, 0.004) for moment in even([Stage("hold", 20.0, 100, 100)])]
    both = queue_theory.responses(queue, arrivals, senders)
    latency, service = (sorted(column) for column in zip(*both, strict=True))
    for percentile in (50, 90, 99):
        theory = queue_theory.stopped(100, 0.004, 2.0, 20.0, percentile)
        assert queue_theory.at(latency, percentile) == pytest.approx(theory, abs=0.007)
    unseen = queue_theory.at(service, 99)
    assert unseen == pytest.approx(1.884 if senders == 300 else 0.040, abs=0.007)
