"""From a visit to a paid order."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, either

_NO_FAILURE = "there is none while every payment succeeds"
_LEARNING = "history does not suffice before the third week"


def board(limits: Limits) -> Board:
    """Return the dashboard of the funnel, orders, payments and stock."""
    return Board(
        "storewatch-checkout",
        "Checkout funnel",
        "From a visit to a paid order, and what gets lost on the way.",
        (
            Row(
                "Funnel",
                (
                    Panel(
                        "Steps a minute",
                        (
                            Query(
                                "sum by (kind) (rate(storewatch_funnel_events_total"
                                "[$__rate_interval])) * 60",
                                "{{kind}}",
                            ),
                        ),
                        width=12,
                    ),
                    Panel(
                        "Signals, of what is expected",
                        (
                            Query(
                                "max by (signal) (storewatch_signal_expected_per_minute)",
                                "{{signal}}",
                                _LEARNING,
                            ),
                        ),
                        width=12,
                        alert="SignalDropped",
                    ),
                ),
            ),
            Row(
                "Orders",
                (
                    Panel(
                        "Orders by state",
                        (Query("sum by (state) (storewatch_orders)", "{{state}}"),),
                        stacked=True,
                    ),
                    Panel(
                        "Oldest paid order that was not shipped",
                        (Query("max(storewatch_oldest_unshipped_order_seconds)"),),
                        unit="s",
                    ),
                    Panel(
                        "Violated invariants",
                        (
                            Query(
                                "sum by (invariant) (storewatch_invariant_violations)",
                                "{{invariant}}",
                            ),
                        ),
                        bounds=((1, "red"),),
                        alert="ShopInvariantBroken",
                    ),
                ),
            ),
            Row("Payments", _payments(limits)),
            Row(
                "Stock",
                (
                    Panel(
                        "Products below their safety stock",
                        (Query("max(storewatch_products_below_safety_stock)"),),
                        width=12,
                        bounds=((limits.products_below_safety + 1, "orange"),),
                        alert="StockBelowSafety",
                    ),
                    Panel(
                        "Units in stock",
                        (Query("sum by (category) (storewatch_stock_units)", "{{category}}"),),
                        width=12,
                    ),
                ),
            ),
        ),
    )


def _payments(limits: Limits) -> tuple[Panel, ...]:
    recent = "storewatch_payments_recent"
    return (
        Panel(
            "Payments of the last seconds by outcome",
            (
                Query(
                    f"sum by (provider, outcome) ({recent})",
                    "{{provider}} {{outcome}}",
                    "nobody pays just now",
                ),
            ),
        ),
        Panel(
            "Share that fails",
            (
                Query(
                    f'sum by (provider) ({recent}{{outcome="failing"}})'
                    f" / sum by (provider) ({recent})",
                    "{{provider}}",
                    _NO_FAILURE,
                ),
            ),
            unit="percentunit",
            bounds=((limits.payment_failure_ratio, "red"),),
            alert="PaymentsFailing",
        ),
        either(
            "Providers",
            Query('probe_success{group="payment"}', "{{target}}"),
            ("down", "up"),
            alert="PaymentProviderDown",
        ),
    )
