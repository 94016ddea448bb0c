"""Synthetic journeys: what a customer does, walked on a timer."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, Variable, either

_JOURNEY = 'journey=~"$journey"'


def board(limits: Limits) -> Board:
    """Return the dashboard of journeys and their steps."""
    return Board(
        "storewatch-journeys",
        "Synthetic journeys",
        "The same functions that load tests drive, walked on a timer.",
        (
            Row(
                "Journeys",
                (
                    either(
                        "Newest walk",
                        Query(f"storewatch_journey_success{{{_JOURNEY}}}", "{{journey}}"),
                        ("fails", "works"),
                        alert="CheckoutFailing",
                    ),
                    Panel(
                        "Walked last",
                        (
                            Query(
                                "time() - storewatch_journey_last_run_timestamp_seconds"
                                f"{{{_JOURNEY}}}",
                                "{{journey}}",
                            ),
                        ),
                        unit="s",
                        kind="stat",
                        alert="JourneyStale",
                    ),
                    Panel(
                        "Walks by outcome",
                        (
                            Query(
                                "sum by (journey, outcome) (rate(storewatch_journey_runs_total"
                                f"{{{_JOURNEY}}}[$__rate_interval])) * 60",
                                "{{journey}} {{outcome}}",
                            ),
                        ),
                        description="A minute.",
                    ),
                ),
            ),
            Row(
                "Steps",
                (
                    Panel(
                        "Time of a walk",
                        (
                            Query(
                                f"storewatch_journey_duration_seconds{{{_JOURNEY}}}", "{{journey}}"
                            ),
                        ),
                        unit="s",
                        bounds=((limits.page_load_s, "orange"),),
                    ),
                    Panel(
                        "Time of each step",
                        (
                            Query(
                                f"storewatch_journey_step_duration_seconds{{{_JOURNEY}}}",
                                "{{journey}} {{step}}",
                            ),
                        ),
                        unit="s",
                        stacked=True,
                    ),
                    Panel(
                        "Steps that fail",
                        (
                            Query(
                                f"storewatch_journey_step_success{{{_JOURNEY}}} == 0",
                                "{{journey}} {{step}}",
                                "there is none while all succeed",
                            ),
                        ),
                        kind="table",
                    ),
                ),
            ),
        ),
        (Variable("journey", "Journey", "storewatch_journey_success, journey"),),
    )
