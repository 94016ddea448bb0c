"""The application's instances and what they depend on."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, either


def board(limits: Limits) -> Board:
    """Return the dashboard of instances and dependencies."""
    return Board(
        "storewatch-application",
        "Application",
        "Each instance as a probe sees it, beside the edge and the dependencies.",
        (
            Row(
                "Instances",
                (
                    either(
                        "Up",
                        Query('probe_success{group="app"}', "{{target}}"),
                        ("down", "up"),
                        alert="InstanceDown",
                    ),
                    Panel(
                        "Answer to a probe",
                        (Query('probe_duration_seconds{group="app"}', "{{target}}"),),
                        unit="s",
                        width=16,
                        bounds=((limits.response_s, "orange"),),
                    ),
                ),
            ),
            Row(
                "The shop from outside",
                (
                    either(
                        "Up",
                        Query('probe_success{group="shop"}', "{{target}}"),
                        ("down", "up"),
                        alert="ShopUnreachable",
                    ),
                    Panel(
                        "Phases of a request",
                        (
                            Query(
                                'probe_http_duration_seconds{group="shop"}',
                                "{{target}} {{phase}}",
                            ),
                        ),
                        unit="s",
                        stacked=True,
                    ),
                    Panel(
                        "Certificates end in",
                        (
                            Query(
                                "min by (target)"
                                " (last_over_time(probe_ssl_earliest_cert_expiry[1h])) - time()",
                                "{{target}}",
                            ),
                        ),
                        unit="s",
                        kind="stat",
                        bounds=((0, "red"), (limits.certificate_s, "green")),
                        alert="CertificateExpiring",
                    ),
                ),
            ),
            Row(
                "Dependencies",
                (
                    Panel(
                        "Answers",
                        (
                            Query("max by (node) (pg_up)", "{{node}}"),
                            Query("max by (node) (redis_up)", "{{node}}"),
                            Query('max by (target) (probe_success{group="payment"})', "{{target}}"),
                        ),
                        kind="stat",
                        bounds=((0, "red"), (1, "green")),
                        names=((0, "down", "red"), (1, "up", "green")),
                    ),
                    Panel(
                        "Connections to the database",
                        (
                            Query(
                                "max by (node) (storewatch_pg_connections)"
                                " / max by (node) (storewatch_pg_connections_limit)",
                                "{{node}}",
                            ),
                        ),
                        unit="percentunit",
                        bounds=((0.8, "orange"), (0.95, "red")),
                    ),
                    Panel(
                        "Sessions that wait for a lock",
                        (Query("max by (node) (storewatch_pg_blocked_sessions)", "{{node}}"),),
                    ),
                ),
            ),
        ),
    )
