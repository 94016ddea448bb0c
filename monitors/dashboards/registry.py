"""All dashboards: one line each."""

from monitors.dashboards.boards import (
    alerts,
    application,
    checkout,
    edge,
    hosts,
    journeys,
    loadtests,
    postgres,
    redis,
    rehearsals,
    service_levels,
    shop,
)
from monitors.dashboards.model import Board, Limits

_MODULES = (
    shop,
    service_levels,
    checkout,
    edge,
    application,
    postgres,
    redis,
    hosts,
    journeys,
    rehearsals,
    loadtests,
    alerts,
)


def boards(limits: Limits) -> list[Board]:
    """Return every dashboard."""
    return [module.board(limits) for module in _MODULES]
