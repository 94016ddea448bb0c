"""What queues do to latency: closed forms for the long run, a recursion for each single request."""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence

from load_queues import Queue

_PRECISION_S = 1e-7


def exponential(slots: int, rate: float, mean_s: float) -> Callable[[float], float]:
    """Return P(response <= t) of M/M/c.

    Source: Erlang C for the share that waits; who waits does so exponentially with the rate
    theta = c mu - lambda, independent of the service that follows, so that the response is the sum
    of both. With one slot it is the exponential distribution with mu - lambda.

    Args:
        slots: servers, c.
        rate: arrivals per second, lambda.
        mean_s: seconds of a service, 1/mu.
    """
    mu, load = 1 / mean_s, rate * mean_s
    theta = slots * mu - rate
    terms = [load**k / math.factorial(k) for k in range(slots + 1)]
    last = terms.pop() * slots / (slots - load)
    waits = last / (sum(terms) + last)

    def below(t: float) -> float:
        served, waited = math.exp(-mu * t), math.exp(-theta * t)
        return 1 - (1 - waits) * served - waits * (theta * served - mu * waited) / (theta - mu)

    return below


def constant(rate: float, service_s: float) -> Callable[[float], float]:
    """Return P(response <= t) of M/D/1.

    Source: Erlang's sum for the waiting time (1909), in Crommelin's form (1932):
    P(W <= t) = (1 - rho) sum over k <= t/D of (-lambda (t - k D))^k / k! * e^(lambda (t - k D)).
    Its terms alternate: good to ten digits up to some twenty services, beyond which nobody waits
    at the loads of these tests.
    """

    def below(t: float) -> float:
        waited_s = t - service_s
        if waited_s < 0:
            return 0.0
        gaps = [waited_s - k * service_s for k in range(int(waited_s / service_s) + 1)]
        terms = (
            (-rate * gap) ** k / math.factorial(k) * math.exp(rate * gap)
            for k, gap in enumerate(gaps)
        )
        return (1 - rate * service_s) * math.fsum(terms)

    return below


def quantile(below: Callable[[float], float], percentile: float) -> float:
    """Return the seconds that a share of the responses stay within, by bisection."""
    low, high = 0.0, 1.0
    while high - low > _PRECISION_S:
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < percentile / 100 else (low, middle)
    return high


def stopped(
    rate: float, service_s: float, stop_s: float, hold_s: float, percentile: float
) -> float:
    """Return a percentile of the response of a server that stops once, under even arrivals.

    An arrival t after the beginning of the stop waits for the rest of it, stop - t, and for the
    rate * t before it: in all stop - (1 - rho) t, until that is nothing. So what is above x is the
    share (stop + service - x) / (1 - rho) of the time.

    Args:
        rate: arrivals per second.
        service_s: of each.
        stop_s: how long nothing is served.
        hold_s: seconds of arrivals that count, the stop and its backlog within.
        percentile: 0 to 100.
    """
    beyond_s = hold_s * (1 - percentile / 100)
    return max(service_s, service_s + stop_s - (1 - rate * service_s) * beyond_s)


def responses(
    queue: Queue, arrivals: Iterable[tuple[float, float]], senders: int
) -> list[tuple[float, float]]:
    """Return (seconds from the intended start, seconds from the start) of each request.

    Source: Lindley's recursion, for several slots that of Kiefer and Wolfowitz: a request begins
    when it has come and a slot is free. The same for the senders in front: one that waits for its
    answer sends nothing else.

    Args:
        queue: the server.
        arrivals: (intended start, service) in seconds, in order.
        senders: how many can wait for an answer at once.
    """
    found = []
    slots, free = [0.0] * queue.slots, [0.0] * senders
    for intended_s, service_s in arrivals:
        started_s = max(intended_s, free[0])
        ended_s = queue.end_s(max(started_s, slots[0]), service_s)
        heapq.heapreplace(slots, ended_s)
        heapq.heapreplace(free, ended_s)
        found.append((ended_s - intended_s, ended_s - started_s))
    return found


def at(values: Sequence[float], percentile: float) -> float:
    """Return the value that the percentile, rounded to a whole one, of the sorted values reach."""
    return values[max(1, int(percentile * len(values) / 100 + 0.5)) - 1]
