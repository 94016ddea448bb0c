"""Keep the book and Alertmanager in step: notices get lost, for silenced alerts they never come."""

import logging
import threading

from alerting.incidents import IncidentBook
from alerting.webhook import Alertmanager
from storewatch.core.errors import UnreachableError

LOOK_EVERY_S = 30.0
# Alertmanager just started knows nothing until Prometheus tells it again (every minute at most).
LOOKS_BEFORE_RESOLVING = 3

_log = logging.getLogger(__name__)


class Reconciler:
    """Looks at Alertmanager's alerts at start and every half minute."""

    def __init__(self, book: IncidentBook, alertmanager: Alertmanager) -> None:
        self._book = book
        self._alertmanager = alertmanager
        self._missing: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Look until stopped; an Alertmanager that does not answer is asked again."""
        while not stop.is_set():
            try:
                self.look()
            except UnreachableError as error:
                _log.warning("%s", error)
            stop.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Open what we never heard of; resolve what was missing several looks in a row.

        Raises:
            UnreachableError: Alertmanager does not answer; nothing was changed.
        """
        alerts = self._alertmanager.alerts()
        self._book.receive(alert for alert, suppressed in alerts if not suppressed)
        known = {alert.fingerprint for alert, _ in alerts}
        unresolved = {i.fingerprint for i in self._book.list(unresolved_only=True)}
        self._missing = {f: self._missing.get(f, 0) + 1 for f in unresolved - known}
        gone = {f for f, looks in self._missing.items() if looks >= LOOKS_BEFORE_RESOLVING}
        if gone:
            self._book.settle_missing(unresolved - gone)
