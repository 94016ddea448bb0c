"""Burn-rate windows as data.

Source: Google, The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts",
for an error budget of 30 days.
"""

from dataclasses import dataclass
from enum import StrEnum

PERIOD_DAYS = 30


class Severity(StrEnum):
    """Who is disturbed: somebody now, or somebody in working hours."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """A pair of windows that must both burn the budget faster than `factor`.

    `long` gives the evidence, `short` ends the alert soon after the repair. Durations are
    Prometheus'.
    """

    severity: Severity
    long: str
    short: str
    factor: float


BURN_WINDOWS = (
    BurnWindow(Severity.PAGE, "1h", "5m", 14.4),  # 2 % of the budget in one hour
    BurnWindow(Severity.PAGE, "6h", "30m", 6),  # 5 % in six hours
    BurnWindow(Severity.TICKET, "1d", "2h", 3),  # 10 % in one day
    BurnWindow(Severity.TICKET, "3d", "6h", 1),  # 10 % in three days
)

BASE_WINDOW = "5m"
"""The window whose rates the longer ones are added up from."""

DIRECT_WINDOWS = (BASE_WINDOW, "30m", "1h")
"""Windows short enough to be computed from the counters themselves at every evaluation."""

SUMMED_WINDOWS = ("2h", "6h", "1d", "3d", f"{PERIOD_DAYS}d")
"""Windows that add up the base window's recorded rates."""

_UNITS_S = {"m": 60, "h": 3600, "d": 86400}


def window_s(window: str) -> int:
    """Return the seconds of a window such as 5m, 6h, 30d."""
    return int(window[:-1]) * _UNITS_S[window[-1]]
