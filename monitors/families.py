"""Metric families: short ways to make them, and one way to merge what several collectors return."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    UnknownMetricFamily,
)

Labels = Mapping[str, str]
Samples = Iterable[tuple[Labels, float]]
Kind = Callable[[str, str, Samples], Metric]


class Collector(Protocol):
    """A part of what is watched: one file in collectors/ or probes/, one line in registry.py.

    `name` is unique within the exporter, `timeout_s` bounds one `collect`.
    """

    name: str
    timeout_s: float

    def collect(self) -> Iterable[Metric]:
        """Ask the backend now. Raises anything when it does not answer as it should."""

    def down(self) -> Iterable[Metric]:
        """Return what is exported instead when `collect` raised or ran out of time: `<x>_up 0`."""


def gauge(name: str, documentation: str, samples: Samples) -> Metric:
    """Return a gauge family with samples of (labels, value)."""
    return _filled(GaugeMetricFamily(name, documentation), name, samples)


def counter(name: str, documentation: str, samples: Samples) -> Metric:
    """Return a counter family; the name is given without `_total`."""
    return _filled(CounterMetricFamily(name, documentation), f"{name}_total", samples)


def plain_counter(name: str, documentation: str, samples: Samples) -> Metric:
    """Return a counter that is known under a name without `_total`."""
    return _filled(Metric(name, documentation, "counter"), name, samples)


def unknown(name: str, documentation: str, samples: Samples) -> Metric:
    """Return an untyped family: what another exporter publishes without a type."""
    return _filled(UnknownMetricFamily(name, documentation), name, samples)


def value(name: str, documentation: str, number: float, **labels: str) -> Metric:
    """Return a gauge family of one sample."""
    return gauge(name, documentation, [(labels, number)])


def merge(families: Iterable[Metric]) -> list[Metric]:
    """Return the families by name, samples of equal names joined; the first description wins."""
    merged: dict[str, Metric] = {}
    for family in families:
        known = merged.get(family.name)
        if known is None:
            known = merged[family.name] = Metric(family.name, family.documentation, family.type)
        known.samples.extend(family.samples)
    return list(merged.values())


def _filled(family: Metric, sample_name: str, samples: Samples) -> Metric:
    for labels, number in samples:
        family.add_sample(sample_name, dict(labels), float(number))
    return family
