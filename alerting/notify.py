"""A test notification: sent through the live Alertmanager, and whether it was delivered.

Source: Alertmanager 0.25: POST /api/v2/alerts; its metrics
alertmanager_notification_requests_total and ..._failed_total, by integration.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import requests

from alerting.routes import TEST_ALERT, TEST_LABEL
from alerting.webhook import no_answer
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.targets import Verdict

_SENT = "alertmanager_notification_requests_total"
_FAILED = "alertmanager_notification_requests_failed_total"
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a test notification.

    Attributes:
        verdict: PASS once every integration has delivered, FAIL when one was refused,
            INCONCLUSIVE when nothing was seen in time.
        delivered, failed: attempts by integration.
        took_s: until that was known.
    """

    verdict: Verdict
    delivered: dict[str, int]
    failed: dict[str, int]
    took_s: float


def send_test(
    url: str,
    receiver: str,
    wanted: Sequence[str],
    within_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Delivery:
    """Send a test notification to one receiver and watch what becomes of it.

    Other notifications by the same integrations that fall into these seconds are counted too.

    Args:
        url: of Alertmanager.
        receiver: its name.
        wanted: its integrations, such as webhook and slack.
        within_s: how long to wait.
        clock: monotonic seconds.

    Raises:
        UnreachableError: Alertmanager does not answer.
    """
    begin, before = clock(), _attempts(url)
    now = utc_now()
    alert = {
        # A name of its own each time: Alertmanager sends at once what it never heard of.
        "labels": {
            "alertname": TEST_ALERT,
            TEST_LABEL: receiver,
            "severity": "none",
            "test": rfc3339(now),
        },
        "annotations": {
            "summary": f"A test of the receiver {receiver}; nothing is wrong",
            "runbook": "",
        },
        "startsAt": rfc3339(now),
        "endsAt": rfc3339(now + timedelta(seconds=within_s + 30)),
    }
    _ask(lambda: requests.post(f"{url}/api/v2/alerts", json=[alert], timeout=5), url)
    needed = Counter(wanted)
    while True:
        sent, refused = (after - b for after, b in zip(_attempts(url), before, strict=True))
        failed = {name: refused[name] for name in needed if refused[name]}
        delivered = {name: sent[name] - refused[name] for name in needed}
        took_s = clock() - begin
        if failed:
            return Delivery(Verdict.FAIL, delivered, failed, took_s)
        if all(delivered[name] >= count for name, count in needed.items()):
            return Delivery(Verdict.PASS, delivered, failed, took_s)
        if took_s > within_s:
            return Delivery(Verdict.INCONCLUSIVE, delivered, failed, took_s)
        time.sleep(_LOOK_EVERY_S)


def _attempts(url: str) -> tuple[Counter[str], Counter[str]]:
    """Return attempts to notify, and those of them that failed, by integration."""
    text = _ask(lambda: requests.get(f"{url}/metrics", timeout=5), url).text
    sent, failed = (
        Counter(
            {
                match[1]: int(float(match[2]))
                for match in re.finditer(
                    rf'^{name}\{{[^}}]*integration="([^"]+)"[^}}]*\}} (\S+)$', text, re.MULTILINE
                )
            }
        )
        for name in (_SENT, _FAILED)
    )
    return sent, failed


def _ask(question: Callable[[], requests.Response], url: str) -> requests.Response:
    try:
        response = question()
        response.raise_for_status()
    except requests.RequestException as error:
        raise no_answer(url, error) from error
    return response
