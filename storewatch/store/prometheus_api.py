"""Questions to Prometheus' HTTP API.

Source: Prometheus documentation, "HTTP API", instant and range queries.
"""

from typing import Any

import requests

_TIMEOUT_S = 10.0


def instant(prometheus: str, query: str) -> float | None:
    """Return the first value of an instant query; None without an answer.

    Args:
        prometheus: its address, such as http://127.0.0.1:9090.
        query: PromQL.
    """
    result = _ask(f"{prometheus}/api/v1/query", {"query": query})
    return float(result[0]["value"][1]) if result else None


def range_query(
    prometheus: str, query: str, start: float, end: float, step_s: float
) -> list[tuple[float, float | None]]:
    """Return (unix seconds, value) of the first series of a range query; NaN becomes None."""
    parameters = {"query": query, "start": start, "end": end, "step": step_s}
    result = _ask(f"{prometheus}/api/v1/query_range", parameters)
    if not result:
        return []
    pairs = [(float(moment), float(value)) for moment, value in result[0]["values"]]
    return [(moment, value if value == value else None) for moment, value in pairs]


def _ask(url: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        response = requests.get(url, params=parameters, timeout=_TIMEOUT_S)
        response.raise_for_status()
        return list(response.json()["data"]["result"])
    except (requests.RequestException, ValueError, KeyError):
        return []
