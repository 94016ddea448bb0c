"""Alerts and incidents, now and before; and whether the watchers watch."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, either

_QUIET = "nothing fires"


def board(limits: Limits) -> Board:
    """Return the dashboard of alerts, incidents and the watchers themselves."""
    del limits
    return Board(
        "storewatch-alerts",
        "Alerts and incidents",
        "What fires, what fired, and whether anybody would be told.",
        (
            Row(
                "Now",
                (
                    Panel(
                        "Firing",
                        (
                            Query(
                                'ALERTS{alertstate="firing",alertname!="Watchdog"}',
                                "{{alertname}}",
                                _QUIET,
                            ),
                        ),
                        kind="table",
                        width=16,
                    ),
                    Panel(
                        "Unresolved incidents",
                        (
                            Query(
                                "sum by (severity) (storewatch_incidents_unresolved)",
                                "{{severity}}",
                            ),
                        ),
                        kind="stat",
                        bounds=((1, "orange"),),
                    ),
                ),
            ),
            Row(
                "History",
                (
                    Panel(
                        "Alerts over time",
                        (
                            Query(
                                "sum by (alertname)"
                                ' (ALERTS{alertstate="firing",alertname!="Watchdog"})',
                                "{{alertname}}",
                                _QUIET,
                            ),
                        ),
                        stacked=True,
                        width=12,
                    ),
                    Panel(
                        "Incidents opened a day",
                        (
                            Query(
                                "sum by (severity)"
                                " (increase(storewatch_incidents_opened_total[1d]))",
                                "{{severity}}",
                            ),
                        ),
                        width=12,
                    ),
                ),
            ),
            Row("Who watches the watchers", _watchers()),
        ),
    )


def _watchers() -> tuple[Panel, ...]:
    return (
        Panel(
            "Watchdog",
            (Query('count(ALERTS{alertname="Watchdog",alertstate="firing"})'),),
            kind="stat",
            names=((1, "fires, as it should", "green"),),
            alert="Watchdog",
        ),
        either(
            "Collectors",
            Query("storewatch_collector_success", "{{collector}}"),
            ("no data", "ok"),
            alert="MonitoringDataMissing",
            width=16,
        ),
        Panel(
            "Notifications that failed",
            (
                Query(
                    "sum by (integration)"
                    " (rate(alertmanager_notifications_failed_total[$__rate_interval])) > 0",
                    "{{integration}}",
                    "none fails",
                ),
            ),
            alert="NotificationsFailing",
        ),
        Panel(
            "Time of a scrape",
            (Query("scrape_duration_seconds", "{{job}}"),),
            unit="s",
        ),
        Panel(
            "Series",
            (Query("sum(scrape_samples_post_metric_relabeling)", "all"),),
            bounds=((5000, "orange"),),
        ),
    )
