"""OpenSLO v1 files: documents of kind SLO, SLI, Service and DataSource.

Source: OpenSLO's specification, README.md, apiVersion openslo/v1.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from alerting.openslo_sli import SliSpec
from alerting.slo import NAME, Slo, parse
from storewatch.core.errors import AlertError
from storewatch.schema import Section

VERSIONS = ("openslo/v1", "openslo.com/v1")

_HINTS = {
    "alertPolicies": "alerts follow the burn-rate windows and the routes of alerting.routes",
    "calendar": "error budgets roll; write isRolling: true",
    "connectionDetails": "the rules ask the Prometheus that loads them; leave it out",
    "timeSliceTarget": "budgets count events; write budgetingMethod: Occurrences and leave it out",
    "timeSliceWindow": "budgets count events; write budgetingMethod: Occurrences and leave it out",
    "compositeWeight": "write one SLO for each indicator",
}
_DAYS = {"7d": 7, "1w": 7, "28d": 28, "4w": 28, "30d": 30}


class Metadata(Section):
    """The name of a document; annotations are other programs' notes and are not read."""

    name: str = Field(pattern=NAME)
    display_name: str = Field(default="", alias="displayName")
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, str] = {}

    def prometheus_labels(self) -> dict[str, str]:
        """Return the labels under names that Prometheus takes, lists joined by commas.

        Source: kube-state-metrics, which writes app.kubernetes.io/name as app_kubernetes_io_name.
        """
        return {
            re.sub(r"[^a-zA-Z0-9_]", "_", key): value if isinstance(value, str) else ",".join(value)
            for key, value in self.labels.items()
        }


class TimeWindow(Section):
    """The period of the error budget; it rolls."""

    duration: Literal["7d", "1w", "28d", "4w", "30d"]
    is_rolling: Literal[True] = Field(alias="isRolling")


class Objective(Section):
    """A target, and for a threshold metric the bound."""

    display_name: str = Field(default="", alias="displayName")
    op: Literal["lt", "lte", "gt", "gte"] | None = None
    value: float | None = None
    target: float | None = Field(default=None, gt=0, lt=1)
    target_percent: float | None = Field(default=None, alias="targetPercent", gt=0, lt=100)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target is None) == (self.target_percent is None):
            raise ValueError("write target (0.999) or targetPercent (99.9), one of them")
        return self

    @property
    def percentage(self) -> float:
        """The percentage of good events."""
        if self.target_percent is not None:
            return self.target_percent
        assert self.target is not None
        return round(self.target * 100, 10)


class Indicator(Section):
    """An indicator inside an SLO."""

    metadata: Metadata | None = None
    spec: SliSpec


class SloSpec(Section):
    """What is promised."""

    description: str = ""
    service: str = Field(pattern=NAME)
    indicator: Indicator | None = None
    indicator_ref: str | None = Field(default=None, alias="indicatorRef")
    time_window: tuple[TimeWindow, ...] = Field(default=(), alias="timeWindow", max_length=1)
    budgeting_method: Literal["Occurrences"] = Field(alias="budgetingMethod")
    objectives: tuple[Objective, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_indicator(self) -> Self:
        if (self.indicator is None) == (self.indicator_ref is None):
            raise ValueError("name one of indicator and indicatorRef")
        return self


class DataSourceSpec(Section):
    """Where metrics are; only Prometheus."""

    description: str = ""
    type: str = Field(pattern="(?i)^prometheus$")


class ServiceSpec(Section):
    """A service that SLOs belong to."""

    description: str = ""


class _Document(Section):
    api_version: Literal["openslo/v1", "openslo.com/v1"] = Field(alias="apiVersion")
    metadata: Metadata


class _SloDocument(_Document):
    kind: Literal["SLO"]
    spec: SloSpec


class _SliDocument(_Document):
    kind: Literal["SLI"]
    spec: SliSpec


class _DataSourceDocument(_Document):
    kind: Literal["DataSource"]
    spec: DataSourceSpec


class _ServiceDocument(_Document):
    kind: Literal["Service"]
    spec: Annotated[ServiceSpec, Field(default=ServiceSpec())]


_KINDS: dict[str, type[_Document]] = {
    "SLO": _SloDocument,
    "SLI": _SliDocument,
    "DataSource": _DataSourceDocument,
    "Service": _ServiceDocument,
}
_FOREIGN = {"AlertPolicy", "AlertCondition", "AlertNotificationTarget"}


@dataclass
class OpenSlo:
    """The documents of all files: an SLO may refer to an SLI or a DataSource of another one."""

    period_days: Callable[[str], int]
    slos: list[tuple[Path, str, _SloDocument]] = field(default_factory=list)
    slis: dict[str, SliSpec] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)

    def add(self, path: Path, number: int, raw: Any) -> None:
        """Take in one document.

        Raises:
            AlertError: it is no such document, or of a kind that is not supported.
        """
        kind = raw.get("kind")
        name = (raw.get("metadata") or {}).get("name", f"document {number}")
        where = f"{path}: {kind} {name}"
        if kind in _FOREIGN:
            raise AlertError(f"{where}: kind: not supported; {_HINTS['alertPolicies']}")
        if kind not in _KINDS:
            raise AlertError(f"{where}: kind: {kind!r}; expected one of {', '.join(_KINDS)}")
        document = parse(_KINDS[kind], raw, where, _HINTS)
        if isinstance(document, _SloDocument):
            self.slos.append((path, where, document))
        elif isinstance(document, _SliDocument):
            if document.metadata.name in self.slis:
                raise AlertError(f"{where}: metadata.name: there is another SLI of this name")
            self.slis[document.metadata.name] = document.spec
        elif isinstance(document, _DataSourceDocument):
            self.sources.add(document.metadata.name)

    def compiled(self) -> Iterable[Slo]:
        """Return the objectives, in the order of the files.

        Raises:
            AlertError: a reference leads nowhere, or a query cannot be understood.
        """
        for path, where, document in self.slos:
            spec, metadata = document.spec, document.metadata
            key, indicator = self._indicator(spec, where)
            for index, objective in enumerate(spec.objectives):
                name = f"{metadata.name}-{index}"
                window = spec.time_window[0].duration if spec.time_window else None
                bound = (objective.op, objective.value)
                yield Slo(
                    service=spec.service,
                    name=name,
                    objective=objective.percentage,
                    period_days=(
                        _DAYS[window] if window else self.period_days(f"{spec.service}-{name}")
                    ),
                    sli=indicator.compiled(bound, self.sources, f"{where}: {key}"),
                    spec=document.api_version,
                    file=path,
                    description=spec.description or objective.display_name,
                    labels=metadata.prometheus_labels(),
                )

    def _indicator(self, spec: SloSpec, where: str) -> tuple[str, SliSpec]:
        if spec.indicator is not None:
            return "spec.indicator.spec", spec.indicator.spec
        if spec.indicator_ref not in self.slis:
            raise AlertError(
                f"{where}: spec.indicatorRef: no SLI {spec.indicator_ref!r} in the files of"
                f" alerting.slos; there are: {', '.join(sorted(self.slis)) or 'none'}"
            )
        return f"spec.indicatorRef: SLI {spec.indicator_ref}", self.slis[spec.indicator_ref]
