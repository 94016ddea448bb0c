"""Load tests under way: what each last said of itself. One that has ended has no series."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import Metric

from monitors.families import Samples, counter, gauge

Line = Mapping[str, Any]

# (metric, what the run calls it, meaning)
_GAUGES = (
    ("storewatch_load_elapsed_seconds", "elapsed_s", "Time since a running load test began."),
    (
        "storewatch_load_asked_per_second",
        "asked_per_s",
        "Journeys per second that its profile asks for now.",
    ),
    (
        "storewatch_load_started_per_second",
        "started_per_s",
        "Journeys per second that were started in the last ten seconds.",
    ),
    (
        "storewatch_load_requests_per_second",
        "requests_per_s",
        "HTTP requests per second that were answered in the last ten seconds.",
    ),
    ("storewatch_load_busy_shoppers", "busy", "Virtual shoppers on a journey."),
    (
        "storewatch_load_generator_cpu_ratio",
        "generator_cpu_ratio",
        "Share of a core that the busiest process of the generator uses.",
    ),
)
_COUNTERS = (
    ("storewatch_load_visits", "visits", "Journeys that ended since the warm-up."),
    ("storewatch_load_visits_failed", "failed", "Journeys that failed since the warm-up."),
    ("storewatch_load_arrivals_missed", "missed", "Arrivals that could not be started in time."),
)
_QUANTILES = (("0.5", "p50_s"), ("0.95", "p95_s"), ("0.99", "p99_s"))


def load_families(lines: Iterable[Line]) -> Iterable[Metric]:
    """Return the metrics of the load tests under way; of two of one subject, the later one's.

    Args:
        lines: what `EvidenceStore.under_way` yields; a figure that is missing or None, such as a
            latency before the first answer, has no sample.
    """
    runs = {line["subject"]: line for line in sorted(lines, key=lambda line: str(line["id"]))}
    yield gauge(
        "storewatch_load_running",
        "1 for a load test that is under way.",
        [({"subject": subject}, 1.0) for subject in runs],
    )
    for name, figure, meaning in _GAUGES:
        yield gauge(name, meaning, _samples(runs, figure))
    for name, figure, meaning in _COUNTERS:
        yield counter(name, meaning, _samples(runs, figure))
    yield gauge(
        "storewatch_load_latency_seconds",
        "Latency of the steps of the last ten seconds, from the intended start.",
        [
            ({**labels, "quantile": quantile}, value)
            for quantile, figure in _QUANTILES
            for labels, value in _samples(runs, figure)
        ],
    )


def _samples(runs: Mapping[str, Line], figure: str) -> Samples:
    for subject, line in runs.items():
        if line.get(figure) is not None:
            yield {"subject": subject}, line[figure]
