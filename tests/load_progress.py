"""What a load test says once a second while it runs, as its generator prints it."""

from typing import Any

SAID: dict[str, Any] = {
    "elapsed_s": 18.0,
    "duration_s": 40.0,
    "stage": "hold",
    "asked_per_s": 30.0,
    "visits": 1280,
    "failed": 0,
    "missed": 0,
    "p50_s": 0.01,
    "p95_s": 0.04,
    "p99_s": 0.09,
    "started_per_s": 29.9,
    "requests_per_s": 59.6,
    "busy": 4,
    "generator_cpu_ratio": 0.21,
}
