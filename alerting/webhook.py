"""Alertmanager's two mouths: the webhook (version 4) that it calls, the API (v2) that we ask.

Source: Alertmanager's documentation, "Configuration / <webhook_config>", and its OpenAPI v2 file.
"""

from typing import Any

import requests

from alerting.incidents import Alert, normal_moment
from storewatch.core.errors import AlertError, UnreachableError
from storewatch.core.parts import Labels

VERSION = "4"


def read_webhook(payload: Any) -> list[Alert]:
    """Return the alerts of one delivery.

    Raises:
        AlertError: it is no webhook of version 4; the line names what is wrong.
    """
    if not isinstance(payload, dict) or payload.get("version") != VERSION:
        raise AlertError('not an Alertmanager webhook; expected an object with "version": "4"')
    try:
        return [_from_webhook(raw) for raw in payload["alerts"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AlertError(
            f"a malformed alert in the webhook: {type(error).__name__} {error}"
        ) from error


def _from_webhook(raw: dict[str, Any]) -> Alert:
    if raw["status"] not in {"firing", "resolved"}:
        raise ValueError(f"status {raw['status']!r}; expected firing or resolved")
    return Alert(
        fingerprint=str(raw["fingerprint"]),
        labels=dict(raw["labels"]),
        annotations=dict(raw.get("annotations") or {}),
        starts_at=normal_moment(raw["startsAt"]),
        firing=raw["status"] == "firing",
    )


class Alertmanager:
    """Alertmanager's API v2.

    Args:
        url: its address, such as http://127.0.0.1:9093.
        receivers: alerts routed to any of these concern the desk; empty means all.
    """

    def __init__(self, url: str, receivers: frozenset[str] = frozenset()) -> None:
        self._url = f"{url}/api/v2/alerts"
        self._receivers = receivers

    def firing(self) -> list[Labels]:
        """Return the labels of the alerts that fire, suppressed ones left out."""
        return [raw["labels"] for raw in self._ask() if raw["status"]["state"] == "active"]

    def alerts(self) -> list[tuple[Alert, bool]]:
        """Return all alerts for the desk, each with whether it is suppressed."""
        return [
            (_from_api(raw), raw["status"]["state"] == "suppressed")
            for raw in self._ask()
            if not self._receivers or self._receivers & {r["name"] for r in raw["receivers"]}
        ]

    def _ask(self) -> list[dict[str, Any]]:
        try:
            response = requests.get(self._url, timeout=5)
            response.raise_for_status()
            return list(response.json())
        except (requests.RequestException, ValueError) as error:
            raise UnreachableError(
                f"Alertmanager does not answer at {self._url}: {error}"
            ) from error


def _from_api(raw: dict[str, Any]) -> Alert:
    moment = normal_moment(raw["startsAt"])
    return Alert(raw["fingerprint"], raw["labels"], raw["annotations"], moment, firing=True)
