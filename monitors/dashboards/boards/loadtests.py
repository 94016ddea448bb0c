"""Load tests, from their evidence."""

from monitors.dashboards.boards.rehearsals import measured, verdicts
from monitors.dashboards.model import Board, Limits, Panel, Query, Row

_ORDERS = ("orders_lost", "orders_duplicated", "double_charges", "wrong_amounts")


def board(limits: Limits) -> Board:
    """Return the dashboard of load tests."""
    return Board(
        "storewatch-loadtests",
        "Load tests",
        "The newest run of each journey and profile.",
        (
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
