"""Service levels and their error budgets, from Sloth's records."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, Variable

_SLO = '{sloth_service=~"$service",sloth_slo=~"$slo"}'


def board(limits: Limits) -> Board:
    """Return the dashboard of service levels."""
    del limits
    return Board(
        "storewatch-slo",
        "Service levels and budgets",
        "How much of each error budget is left, and how fast it burns.",
        (
            Row(
                "Budgets",
                (
                    Panel(
                        "Error budget left",
                        (
                            Query(
                                f"slo:period_error_budget_remaining:ratio{_SLO}",
                                "{{sloth_service}} {{sloth_slo}}",
                            ),
                        ),
                        unit="percentunit",
                        kind="stat",
                        width=12,
                        bounds=((-1000, "red"), (0.001, "orange"), (0.5, "green")),
                        alert="CheckoutBudgetBurn",
                    ),
                    Panel(
                        "Burn rate: 1 spends the budget exactly within its period",
                        (
                            Query(
                                f"slo:current_burn_rate:ratio{_SLO}",
                                "{{sloth_service}} {{sloth_slo}}",
                            ),
                        ),
                        width=12,
                        bounds=((1, "orange"), (14.4, "red")),
                        description="14.4 for an hour spends 2 % of 30 days and pages.",
                    ),
                ),
            ),
            Row(
                "Over time",
                (
                    Panel(
                        "Budget left",
                        (
                            Query(
                                f"slo:period_error_budget_remaining:ratio{_SLO}",
                                "{{sloth_service}} {{sloth_slo}}",
                            ),
                        ),
                        unit="percentunit",
                        width=12,
                    ),
                    Panel(
                        "Bad events, of all",
                        (
                            Query(
                                f"slo:sli_error:ratio_rate5m{_SLO}",
                                "{{sloth_service}} {{sloth_slo}}",
                            ),
                        ),
                        unit="percentunit",
                        width=12,
                    ),
                    Panel(
                        "Objectives",
                        (
                            Query(
                                f"slo:objective:ratio{_SLO}",
                                "{{sloth_service}} {{sloth_slo}}",
                            ),
                        ),
                        unit="percentunit",
                        kind="table",
                        width=24,
                    ),
                ),
            ),
        ),
        (
            Variable("service", "Service", "sloth_slo_info, sloth_service"),
            Variable("slo", "SLO", "sloth_slo_info, sloth_slo"),
        ),
    )
