"""Alertmanager's two mouths: the webhook (version 4) that it calls, the API (v2) that we ask.

Source: Alertmanager's documentation, "Configuration / <webhook_config>", and its OpenAPI v2 file.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import requests

from alerting.incident import Alert, normal_moment
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
    return _alert(raw, firing=raw["status"] == "firing")


def _alert(raw: Mapping[str, Any], *, firing: bool) -> Alert:
    fingerprint = raw["fingerprint"]
    if not isinstance(fingerprint, str) or not re.fullmatch(r"[0-9a-f]{1,64}", fingerprint):
        raise ValueError(f"fingerprint {fingerprint!r}; expected hexadecimal digits")
    return Alert(
        fingerprint=fingerprint,
        labels=_texts(raw["labels"]),
        annotations=_texts(raw.get("annotations") or {}),
        starts_at=normal_moment(raw["startsAt"]),
        firing=firing,
    )


def _texts(raw: Mapping[str, Any]) -> dict[str, str]:
    texts = dict(raw)
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}; expected text")
    return texts


def no_answer(url: str, error: Exception) -> UnreachableError:
    """Return what a command says when Alertmanager gives no answer that makes sense."""
    response = getattr(error, "response", None)
    reason = type(error).__name__ if response is None else f"status {response.status_code}"
    return UnreachableError(
        f"Alertmanager does not answer at {url} ({reason});"
        " `storewatch status` shows whether it runs"
    )


class Alertmanager:
    """Alertmanager's API v2.

    Args:
        url: its address, such as http://127.0.0.1:9093.
        receivers: alerts routed to any of these concern the desk; empty means all.
        muted: whether an alert is muted now by maintenance, which the API does not tell.
    """

    def __init__(
        self,
        url: str,
        receivers: frozenset[str] = frozenset(),
        muted: Callable[[Labels], bool] = lambda _labels: False,
    ) -> None:
        self._url = f"{url}/api/v2/alerts"
        self._receivers = receivers
        self._muted = muted

    def firing(self) -> list[Labels]:
        """Return the labels of the alerts that fire, suppressed ones left out."""
        return [alert.labels for _, alert, suppressed in self._ask() if not suppressed]

    def alerts(self) -> list[tuple[Alert, bool]]:
        """Return all alerts for the desk, each with whether it is suppressed."""
        return [
            (alert, suppressed)
            for receivers, alert, suppressed in self._ask()
            if not self._receivers or self._receivers & receivers
        ]

    def _ask(self) -> list[tuple[set[str], Alert, bool]]:
        """Return receivers, alert and whether it is suppressed, of each alert that fires."""
        try:
            response = requests.get(self._url, timeout=5)
            response.raise_for_status()
            return [
                (
                    {receiver["name"] for receiver in raw["receivers"]},
                    _alert(raw, firing=True),
                    raw["status"]["state"] == "suppressed" or self._muted(raw["labels"]),
                )
                for raw in response.json()
            ]
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise no_answer(self._url, error) from error
