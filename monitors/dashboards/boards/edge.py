"""The edge: requests by route, their time and their failures."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, Variable

_ROUTE = 'route=~"$route"'


def board(limits: Limits) -> Board:
    """Return the dashboard of the edge."""
    requests = f"storewatch_edge_requests_total{{{_ROUTE}}}"
    bucket = f"storewatch_edge_request_duration_seconds_bucket{{{_ROUTE}}}"
    failed = f'storewatch_edge_requests_total{{{_ROUTE},status=~"5.."}}'
    return Board(
        "storewatch-edge",
        "Edge",
        "Requests as the edge logs them, by route template, method and status.",
        (
            Row(
                "Requests",
                (
                    Panel(
                        "By route",
                        (
                            Query(
                                f"topk(10, sum by (route) (rate({requests}[$__rate_interval])))",
                                "{{route}}",
                            ),
                        ),
                        unit="reqps",
                        width=12,
                    ),
                    Panel(
                        "By status",
                        (
                            Query(
                                f"sum by (status) (rate({requests}[$__rate_interval]))",
                                "{{status}}",
                            ),
                        ),
                        unit="reqps",
                        width=12,
                        stacked=True,
                    ),
                    Panel(
                        "Failures (5xx) by route",
                        (
                            Query(
                                f"sum by (route) (rate({failed}[$__rate_interval]))"
                                f" / (sum by (route) (rate({requests}[$__rate_interval])) > 0)",
                                "{{route}}",
                            ),
                        ),
                        unit="percentunit",
                        width=12,
                        bounds=((limits.error_ratio, "red"),),
                        alert="AvailabilityBudgetBurn",
                    ),
                    Panel(
                        "95 % are faster than, by route",
                        (
                            Query(
                                "histogram_quantile(0.95, sum by (le, route)"
                                f" (rate({bucket}[$__rate_interval])))",
                                "{{route}}",
                            ),
                        ),
                        unit="s",
                        width=12,
                        bounds=((limits.response_s, "red"),),
                        alert="LatencyBudgetBurn",
                    ),
                ),
            ),
            Row(
                "The log itself",
                (
                    Panel(
                        "Unread",
                        (Query("max(storewatch_edge_backlog_bytes)"),),
                        unit="bytes",
                        width=12,
                    ),
                    Panel(
                        "Malformed lines a second",
                        (
                            Query(
                                "sum(rate(storewatch_edge_malformed_lines_total[$__rate_interval]))"
                            ),
                        ),
                        width=12,
                    ),
                ),
            ),
        ),
        (Variable("route", "Route", "storewatch_edge_requests_total, route"),),
    )
