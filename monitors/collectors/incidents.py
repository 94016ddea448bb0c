"""How many incidents there were and are."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from monitors.families import counter, gauge, value
from storewatch.core.parts import IncidentSource, IncidentTally

_UP = "Whether incidents could be counted."
_SEVERITIES = ("page", "ticket")


class IncidentCollector:
    """Incidents by severity; pages and tickets are counted from 0 on."""

    name = "incidents"

    def __init__(self, source: IncidentSource, timeout_s: float = 1.5) -> None:
        self.timeout_s = timeout_s
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Count them."""
        found = {severity: IncidentTally(severity, 0, 0) for severity in _SEVERITIES}
        found |= {tally.severity: tally for tally in self._source.tallies()}
        yield value("storewatch_incidents_up", _UP, 1)
        yield gauge(
            "storewatch_incidents_unresolved",
            "Incidents that are open or acknowledged.",
            [({"severity": name}, tally.unresolved) for name, tally in found.items()],
        )
        yield counter(
            "storewatch_incidents_opened",
            "Incidents that were opened.",
            [({"severity": name}, tally.opened) for name, tally in found.items()],
        )

    def down(self) -> Iterable[Metric]:
        """Say that they could not be counted."""
        yield value("storewatch_incidents_up", _UP, 0)
