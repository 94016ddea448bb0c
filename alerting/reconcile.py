"""Keep the book and Alertmanager in step: notices get lost, for silenced alerts they never come."""

import logging
import threading
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from alerting.incident import Alert
from alerting.incidents import IncidentBook
from alerting.webhook import Alertmanager
from storewatch.core.clock import parse_rfc3339, utc_now
from storewatch.core.errors import UnreachableError

LOOK_EVERY_S = 15.0
# Alertmanager just started knows nothing until Prometheus tells it again: every minute
# (--rules.alert.resend-delay), at the next evaluation. The sixth look comes after 75 s.
LOOKS_BEFORE_RESOLVING = 6
# What is younger is the webhook's to tell: the time to detect is taken there.
NOTICE_COMES_WITHIN_S = 20.0

_log = logging.getLogger(__name__)


class Reconciler:
    """Looks at Alertmanager's alerts at start and then regularly.

    Args:
        book: the incidents.
        alertmanager: Alertmanager's API.
        notice_within_s: alerts that began less than this ago are left to the webhook.
    """

    def __init__(
        self,
        book: IncidentBook,
        alertmanager: Alertmanager,
        notice_within_s: float = NOTICE_COMES_WITHIN_S,
    ) -> None:
        self._book = book
        self._alertmanager = alertmanager
        self._notice_within = timedelta(seconds=notice_within_s)
        self._missing: dict[str, int] = {}

    def run(self, stop: threading.Event, every_s: float = LOOK_EVERY_S) -> None:
        """Look until stopped; an Alertmanager or a database that fails is asked again."""
        while not stop.is_set():
            try:
                self.look()
            except (UnreachableError, SQLAlchemyError) as error:
                _log.warning("%s", error)
            stop.wait(every_s)

    def look(self) -> None:
        """Open what we never heard of; resolve what was missing several looks in a row.

        Raises:
            UnreachableError: Alertmanager does not answer; nothing was changed, and the looks so
                far do not count.
        """
        try:
            alerts = self._alertmanager.alerts()
        except UnreachableError:
            self._missing.clear()
            raise
        self._book.receive(alert for alert, hidden in alerts if not hidden and self._is_late(alert))
        known = {alert.fingerprint for alert, _ in alerts}
        missing = [i for i in self._book.list(unresolved_only=True) if i.fingerprint not in known]
        self._missing = {i.id: self._missing.get(i.id, 0) + 1 for i in missing}
        gone = [i for i, looks in self._missing.items() if looks >= LOOKS_BEFORE_RESOLVING]
        if gone:
            self._book.settle(gone)

    def _is_late(self, alert: Alert) -> bool:
        return utc_now() - parse_rfc3339(alert.starts_at) >= self._notice_within
