"""The shop on one page: is it up, is it fast, does it sell."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, either


def board(limits: Limits) -> Board:
    """Return the dashboard that is looked at first."""
    requests = "storewatch_edge_requests_total"
    duration = "storewatch_edge_request_duration_seconds_bucket"
    return Board(
        "storewatch-shop",
        "Shop",
        "Is it up, is it fast, does it sell. Everything else is a reason.",
        (
            Row(
                "What customers feel",
                (
                    either(
                        "Journeys",
                        Query("storewatch_journey_success", "{{journey}}"),
                        ("fails", "works"),
                        alert="CheckoutFailing",
                    ),
                    Panel(
                        "Availability, last hour",
                        (
                            Query(
                                f'1 - (sum(increase({requests}{{status=~"5.."}}[1h])) or vector(0))'
                                f" / (sum(increase({requests}[1h])) > 0)",
                            ),
                        ),
                        unit="percentunit",
                        kind="stat",
                        width=4,
                        bounds=((0, "red"), (1 - limits.error_ratio, "green")),
                        alert="AvailabilityBudgetBurn",
                    ),
                    Panel(
                        "95 % are faster than",
                        (
                            Query(
                                f"histogram_quantile(0.95, sum by (le)"
                                f" (rate({duration}[$__rate_interval])))"
                            ),
                        ),
                        unit="s",
                        kind="stat",
                        width=4,
                        bounds=((limits.response_s, "orange"), (limits.page_load_s, "red")),
                        alert="LatencyBudgetBurn",
                    ),
                    Panel(
                        "Open pages",
                        (Query('count(ALERTS{alertstate="firing",severity="page"}) or vector(0)'),),
                        kind="stat",
                        width=4,
                        bounds=((1, "red"),),
                    ),
                    Panel(
                        "Open tickets",
                        (
                            Query(
                                'count(ALERTS{alertstate="firing",severity="ticket"}) or vector(0)'
                            ),
                        ),
                        kind="stat",
                        width=4,
                        bounds=((1, "orange"),),
                    ),
                ),
            ),
            Row("Sales", _sales()),
            Row(
                "Traffic",
                (
                    Panel(
                        "Requests by status",
                        (
                            Query(
                                "sum by (status_class) (rate("
                                "storewatch_edge_request_duration_seconds_count[$__rate_interval]))",
                                "{{status_class}}",
                            ),
                        ),
                        unit="reqps",
                        width=12,
                        stacked=True,
                    ),
                    Panel(
                        "Response time",
                        tuple(
                            Query(
                                f"histogram_quantile({share}, sum by (le)"
                                f" (rate({duration}[$__rate_interval])))",
                                f"p{share * 100:g}",
                            )
                            for share in (0.5, 0.95, 0.99)
                        ),
                        unit="s",
                        width=12,
                        bounds=((limits.response_s, "red"),),
                    ),
                ),
            ),
        ),
    )


def _sales() -> tuple[Panel, ...]:
    learning = "history does not suffice before the third week"
    return (
        Panel(
            "Orders a minute, and what is expected",
            (
                Query("sum(rate(storewatch_orders_placed_total[$__rate_interval])) * 60", "orders"),
                Query(
                    'max(storewatch_signal_expected_per_minute{signal="orders"})',
                    "expected",
                    learning,
                ),
                Query(
                    'max(storewatch_signal_lower_bound{signal="orders",window="8m"}) / 8',
                    "alarm below",
                    learning,
                ),
            ),
            width=12,
            alert="SignalDropped",
        ),
        Panel(
            "Revenue an hour",
            (Query("sum(increase(storewatch_revenue_cents_total[1h])) / 100", "revenue"),),
            width=12,
        ),
    )
