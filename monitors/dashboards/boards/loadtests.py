"""Load tests: the ones under way, and the newest of each from their evidence."""

from monitors.dashboards.boards.rehearsals import measured, verdicts
from monitors.dashboards.model import Board, Limits, Panel, Query, Row

_ORDERS = ("orders_lost", "orders_duplicated", "double_charges", "wrong_amounts")
_NONE = "no load test is running"


def _now(expr: str, legend: str = "") -> Query:
    """Return the query of a figure of the load tests under way."""
    return Query(expr, f"{{{{subject}}}} {legend}".strip(), _NONE)


def _running(limits: Limits) -> Row:
    return Row(
        "Running now",
        (
            Panel(
                "Journeys and requests per second",
                (
                    _now("storewatch_load_asked_per_second", "journeys asked"),
                    _now("storewatch_load_started_per_second", "journeys started"),
                    _now("storewatch_load_requests_per_second", "requests"),
                ),
                description="Empty while no load test runs, like the panels beside it.",
            ),
            Panel(
                "Response time of the last ten seconds",
                tuple(
                    _now(f'storewatch_load_latency_seconds{{quantile="{quantile}"}}', name)
                    for name, quantile in (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"))
                ),
                unit="s",
                bounds=((limits.load_p95_s, "red"),),
            ),
            Panel(
                "Failed and missed a second",
                (
                    _now("rate(storewatch_load_visits_failed_total[$__rate_interval])", "failed"),
                    _now("rate(storewatch_load_arrivals_missed_total[$__rate_interval])", "missed"),
                ),
            ),
            Panel("Busy shoppers", (_now("storewatch_load_busy_shoppers"),), width=12),
            Panel(
                "Generator's processor now",
                (_now("storewatch_load_generator_cpu_ratio"),),
                unit="percentunit",
                width=12,
                bounds=((0.9, "red"),),
            ),
        ),
    )


def board(limits: Limits) -> Board:
    """Return the dashboard of load tests."""
    return Board(
        "storewatch-loadtests",
        "Load tests",
        "What runs now, and the newest run of each journey and profile.",
        (
            _running(limits),
            Row(
                "Verdicts",
                (
                    verdicts("load", ""),
                    Panel(
                        "Response time from the intended start",
                        tuple(
                            Query(measured("load", f"{share}_s"), f"{{{{subject}}}} {share}")
                            for share in ("p50", "p95", "p99")
                        ),
                        unit="s",
                        width=16,
                        bounds=((limits.load_p95_s, "red"),),
                    ),
                ),
            ),
            Row(
                "What was asked and what came",
                (
                    Panel("Requests", (Query(measured("load", "requests"), "{{subject}}"),)),
                    Panel(
                        "Failed",
                        (Query(measured("load", "error_ratio"), "{{subject}}"),),
                        unit="percentunit",
                        bounds=((limits.error_ratio, "red"),),
                    ),
                    Panel(
                        "Arrivals missed",
                        (Query(measured("load", "arrivals_missed"), "{{subject}}"),),
                        bounds=((1, "red"),),
                    ),
                    Panel(
                        "Orders gone wrong",
                        tuple(
                            Query(measured("load", name), f"{{{{subject}}}} {name}")
                            for name in _ORDERS
                        ),
                        bounds=((1, "red"),),
                        width=12,
                    ),
                    Panel(
                        "Generator's processor",
                        (Query(measured("load", "generator_cpu_ratio"), "{{subject}}"),),
                        unit="percentunit",
                        bounds=((0.9, "red"),),
                        width=12,
                        description="Above 90 % the run is INVALID: it measured itself.",
                    ),
                ),
            ),
        ),
    )
