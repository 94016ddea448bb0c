"""The section `alerting.anomaly:`: signals that must not stop, and the calendar."""

import re
from datetime import datetime
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from alerting.anomaly.bounds import Occasion
from alerting.anomaly.season import Span
from alerting.windows import Severity
from storewatch.schema import Duration, Section


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("no such time zone; write one such as Europe/Berlin or UTC") from None
    return name


def _selector(text: str) -> str:
    if re.search(r"[\[(]", re.sub(r'"[^"]*"', "", text)):
        raise ValueError('a counter by its name and labels, such as orders_total{shop="eu"}')
    return text


class SignalSettings(Section):
    """One counter of business events whose slowing down means that something is broken."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    counter: Annotated[str, AfterValidator(_selector)]
    """A counter in PromQL; the series that match are summed."""
    severity: Severity = Severity.TICKET


class OccasionSettings(Section):
    """A promotion, a holiday: time that is neither learnt from nor judged as an ordinary week.

    `factor` is how many times the ordinary is expected; left out, only a shop that stands still
    alarms; 0 for a shop that is closed.
    """

    name: str = Field(min_length=1)
    start: AwareDatetime
    end: AwareDatetime
    factor: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.end <= self.start:
            raise ValueError("the end must come after the start")
        return self

    def occasion(self) -> Occasion:
        """Return it in Unix seconds."""
        return Occasion(self.name, Span(_unix(self.start), _unix(self.end)), self.factor)


def _unix(moment: datetime) -> float:
    return moment.timestamp()


class AnomalySettings(Section):
    """What is learnt of the week's seasons, and from how much history."""

    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """That of the customers: their evening is what comes back every week."""
    weeks: int = Field(default=5, ge=2, le=12)
    minimum_weeks: int = Field(default=3, ge=2)
    """An hour that was seen in fewer weeks is not judged."""
    refit: Duration = 3600.0
    signals: tuple[SignalSettings, ...] = (
        SignalSettings(
            name="orders", counter="storewatch_orders_placed_total", severity=Severity.PAGE
        ),
        SignalSettings(
            name="payments", counter="storewatch_payments_captured_total", severity=Severity.PAGE
        ),
        SignalSettings(
            name="add_to_cart", counter='storewatch_funnel_events_total{kind="add_to_cart"}'
        ),
    )
    calendar: tuple[OccasionSettings, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [signal.name for signal in self.signals]
        if len(set(names)) < len(names):
            raise ValueError("two signals have one name; names are unique")
        if self.minimum_weeks > self.weeks:
            raise ValueError("minimum_weeks is more than weeks; no hour would ever be judged")
        return self

    def occasions(self) -> tuple[Occasion, ...]:
        """Return the calendar in Unix seconds."""
        return tuple(entry.occasion() for entry in self.calendar)
