"""Sloth's `prometheus/v1` files.

Source: Sloth, pkg/prometheus/api/v1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from alerting import sli
from alerting.slo import NAME, Alerting, Slo, parse
from storewatch.schema import Section

VERSION = "prometheus/v1"

_HINTS = {
    "plugin": "SLI plugins are Go programs; write the queries they return under events or raw",
    "plugins": "SLO plugins are Go programs; leave them out",
    "slo_plugins": "SLO plugins are Go programs; leave them out",
    "interval": "rules are evaluated at alerting.prometheus.evaluation_interval; leave it out",
}


def _query(text: str) -> str:
    if not sli.WINDOW.search(text):
        raise ValueError("the query has no {{.window}}; write rate(requests_total[{{.window}}])")
    return text.strip()


Query = Annotated[str, AfterValidator(_query)]


class Events(Section):
    """Rates of bad and of all events, each over {{.window}}."""

    error_query: Query
    total_query: Query


class Raw(Section):
    """A ratio of bad events between 0 and 1 over {{.window}}."""

    error_ratio_query: Query


class SliSpec(Section):
    """What is counted: one of the two."""

    events: Events | None = None
    raw: Raw | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.events is None) == (self.raw is None):
            raise ValueError("name what is counted once: events or raw")
        return self

    def compiled(self) -> sli.Sli:
        """Return the indicator."""
        if self.events is not None:
            return sli.events(self.events.error_query, self.events.total_query)
        assert self.raw is not None
        return sli.raw(self.raw.error_ratio_query)


class SloSpec(Section):
    """One objective."""

    name: str = Field(pattern=NAME)
    description: str = ""
    objective: float = Field(gt=0, lt=100)
    labels: dict[str, str] = {}
    info_labels: dict[str, str] = Field(default={}, alias="infoLabels")
    sli: SliSpec
    alerting: Alerting = Alerting()


class SlothFile(Section):
    """A file: the objectives of one service."""

    version: Literal["prometheus/v1"]
    service: str = Field(pattern=NAME)
    labels: dict[str, str] = {}
    slos: tuple[SloSpec, ...] = Field(min_length=1)


def read_sloth(path: Path, document: Any, period_days: Callable[[str], int]) -> list[Slo]:
    """Return the objectives of one document.

    Args:
        path: the file, for messages.
        document: its content.
        period_days: period of an SLO by its id; the format has none.

    Raises:
        AlertError: it is no such document.
    """
    file = parse(SlothFile, document, str(path), _HINTS)
    return [
        Slo(
            service=file.service,
            name=one.name,
            objective=one.objective,
            period_days=period_days(f"{file.service}-{one.name}"),
            sli=one.sli.compiled(),
            spec=VERSION,
            file=path,
            description=one.description,
            labels={**file.labels, **one.labels},
            info_labels=one.info_labels,
            alerting=one.alerting,
        )
        for one in file.slos
    ]
