"""When journeys are meant to start. Open arrivals: nothing that the shop does moves them."""

from collections.abc import Iterator


def constant(rate: float, duration_s: float) -> Iterator[float]:
    """Yield intended starts in seconds from the beginning, `rate` a second, evenly spaced.

    Args:
        rate: journeys per second.
        duration_s: no arrival is meant to start at or after this.
    """
    number = 0
    while (moment := number / rate) < duration_s:
        yield moment
        number += 1
