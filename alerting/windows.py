"""Burn-rate windows: data in burn_windows.yaml, each with its source."""

from enum import StrEnum
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from storewatch.schema import Section

_FILE = Path(__file__).parent / "burn_windows.yaml"

BASE_WINDOW = "5m"
"""The window whose rates the longer ones are added up from."""

DIRECT_WINDOWS = (BASE_WINDOW, "30m", "1h")
"""Windows that are computed from the counters themselves; longer ones add up the base window."""

LONGEST_DIRECT = DIRECT_WINDOWS[-1]

FAST_WINDOWS = (BASE_WINDOW, LONGEST_DIRECT)
"""Windows of the pair that pages first: they are looked at at every evaluation."""

SLOW_WINDOWS = ("30m", "2h", "6h", "1d", "3d")
"""The others, looked at every few minutes; the period is one more of them."""

PERIOD_WINDOWS = {7: "1w", 28: "4w", 30: "30d"}
"""Periods in days, under the names that Sloth gives them (`slo:sli_error:ratio_rate4w`).

Source: prometheus/common, model.Duration: the largest unit that divides a duration.
"""

_UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class Severity(StrEnum):
    """Who is disturbed: somebody now, or somebody in working hours."""

    PAGE = "page"
    TICKET = "ticket"


class BurnWindow(Section):
    """A pair of windows that must both burn the budget faster than its factor.

    `long` gives the evidence, `short` ends the alert soon after the repair. Durations are
    Prometheus'.
    """

    severity: Severity
    long: str
    short: str
    budget_share: float = Field(gt=0, lt=1)

    def factor(self, period_days: int) -> float:
        """Return how many times faster than over the whole period the budget is spent.

        Source: The Site Reliability Workbook, chapter 5: burn rate = share of the budget * period
        / window.
        """
        return round(self.budget_share * period_days * _UNITS_S["d"] / window_s(self.long), 6)


class PeriodWindows(Section):
    """The pairs of windows for error budgets of one period."""

    period_days: int
    source: str
    windows: tuple[BurnWindow, ...]


@cache
def burn_windows() -> dict[int, PeriodWindows]:
    """Return the pairs of windows by period in days."""
    raw = yaml.safe_load(_FILE.read_text())
    return {one.period_days: one for one in map(PeriodWindows.model_validate, raw)}


def window_s(window: str) -> int:
    """Return the seconds of a window such as 5m, 6h, 30d, 4w."""
    return int(window[:-1]) * _UNITS_S[window[-1]]
