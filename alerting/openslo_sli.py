"""OpenSLO's indicators: ratioMetric and thresholdMetric, compiled to ours.

Source: OpenSLO's specification, README.md, sections SLI and Ratio Metric.
"""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from alerting import sli
from alerting.windows import BASE_WINDOW
from storewatch.core.errors import AlertError
from storewatch.schema import Section

Bound = tuple[str | None, float | None]
"""op and value of an objective."""

_BAD_WHEN = {"lt": ">=", "lte": ">", "gt": "<=", "gte": "<"}
_BUCKETS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*_bucket\s*(\{.*\})?", re.DOTALL)


class QuerySpec(Section):
    """A query in PromQL."""

    query: str = Field(min_length=1)


class MetricSource(Section):
    """Where a query is asked."""

    ref: str | None = Field(default=None, alias="metricSourceRef")
    type: str | None = Field(default=None, pattern="(?i)^prometheus$")
    spec: QuerySpec


class Metric(Section):
    """One query."""

    source: MetricSource = Field(alias="metricSource")

    def query(self, sources: set[str], where: str) -> str:
        """Return the query.

        Raises:
            AlertError: nothing says that it is Prometheus' to answer.
        """
        if self.source.type is None and self.source.ref not in sources:
            raise AlertError(
                f"{where}.metricSource: no type, and no DataSource {self.source.ref!r} in the"
                " files of alerting.slos; write type: Prometheus"
            )
        return self.source.spec.query.strip()


class RatioMetric(Section):
    """Good or bad events and all of them, or their ratio as somebody computed it."""

    counter: bool = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw: Metric | None = None
    raw_type: Literal["success", "failure"] | None = Field(default=None, alias="rawType")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        counted = (self.good is None) != (self.bad is None) and self.total is not None
        parts = (self.good, self.bad, self.total)
        if self.raw is None and (not counted or self.raw_type):
            raise ValueError("write total with one of good and bad, or raw with rawType")
        if self.raw is not None and (any(parts) or self.raw_type is None):
            raise ValueError("raw stands alone, with rawType: success or failure")
        return self

    def compiled(self, sources: set[str], where: str) -> sli.Sli:
        """Return the indicator.

        Raises:
            AlertError: a query that cannot be understood.
        """
        if self.raw is not None:
            ratio = self.raw.query(sources, f"{where}.raw")
            return sli.raw(f"1 - ({ratio})" if self.raw_type == "success" else ratio)
        part = "good" if self.good is not None else "bad"
        share = self._rate(self.good or self.bad, sources, f"{where}.{part}")
        total = self._rate(self.total, sources, f"{where}.total")
        if bool(sli.WINDOW.search(share)) != bool(sli.WINDOW.search(total)):
            raise AlertError(
                f"{where}: {part} and total must both be over {{{{.window}}}}, or none"
            )
        return (sli.good_events if self.good is not None else sli.events)(share, total)

    def _rate(self, metric: Metric | None, sources: set[str], where: str) -> str:
        """Return events a second; those of a counter over {{.window}}."""
        assert metric is not None
        query = metric.query(sources, where)
        if not self.counter or sli.WINDOW.search(query):
            return query
        try:
            return sli.rate_of(query)
        except ValueError as error:
            raise AlertError(f"{where}.metricSource.spec.query: {query!r}: {error}") from None


class SliSpec(Section):
    """An indicator: one of the two kinds."""

    description: str = ""
    threshold_metric: Metric | None = Field(default=None, alias="thresholdMetric")
    ratio_metric: RatioMetric | None = Field(default=None, alias="ratioMetric")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.threshold_metric is None) == (self.ratio_metric is None):
            raise ValueError("write one of ratioMetric and thresholdMetric")
        return self

    def compiled(self, bound: Bound, sources: set[str], where: str) -> sli.Sli:
        """Return the indicator of an objective.

        Args:
            bound: op and value of the objective.
            sources: names of the DataSources.
            where: file, document and key, for messages.

        Raises:
            AlertError: a query that cannot be understood, or a bound that does not belong here.
        """
        if self.ratio_metric is not None:
            if bound != (None, None):
                raise AlertError(f"{where}: op and value of an objective are for a thresholdMetric")
            return self.ratio_metric.compiled(sources, f"{where}.ratioMetric")
        assert self.threshold_metric is not None
        where = f"{where}.thresholdMetric"
        return _threshold(self.threshold_metric.query(sources, where), bound, where)


def _threshold(query: str, bound: Bound, where: str) -> sli.Sli:
    """Return the indicator of a bound: of a histogram's buckets by events, else by moments."""
    op, value = bound
    if op is None or value is None:
        raise AlertError(f"{where}: the objective needs op and value, such as op: lte, value: 0.2")
    if _BUCKETS.fullmatch(query) and not re.search(r"\ble\s*=", query):
        if op != "lte":
            raise AlertError(f"{where}: op: {op}; a bucket counts up to its bound: write lte")
        return sli.latency(query, f"{value!r}")
    return sli.samples(sli.at(query, BASE_WINDOW), f"{_BAD_WHEN[op]} {value!r}")
