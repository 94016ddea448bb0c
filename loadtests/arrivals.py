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


# Shopper numbers are partitioned: of each 500 the last 20 belong to the journeys on a timer (490
# to 499) and to the checks of a proof (480 to 489); load never shares a cart with them.
_BLOCK, _OURS = 500, 480


def shopper_number(arrival: int) -> int:
    """Return the shopper number of an arrival, unique within a run."""
    return arrival // _OURS * _BLOCK + arrival % _OURS
