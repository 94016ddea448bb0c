"""Questions to Prometheus' HTTP API.

Source: Prometheus documentation, "HTTP API", instant and range queries.
"""

from typing import Any

import requests

from storewatch.core.errors import UnreachableError

_TIMEOUT_S = 10.0


def instant(prometheus: str, query: str) -> float | None:
    """Return the first value of an instant query; None without an answer.

    Args:
        prometheus: its address, such as http://127.0.0.1:9090.
        query: PromQL.
    """
    result = _ask(f"{prometheus}/api/v1/query", {"query": query})
    return float(result[0]["value"][1]) if result else None


def vector(prometheus: str, query: str) -> list[tuple[dict[str, str], float]]:
    """Return (labels, value) of each series of an instant query.

    Raises:
        UnreachableError: there is no answer.
    """
    result = _ask(f"{prometheus}/api/v1/query", {"query": query}, strict=True)
    return [(one["metric"], float(one["value"][1])) for one in result]


def range_query(
    prometheus: str, query: str, start: float, end: float, step_s: float, *, strict: bool = False
) -> list[tuple[float, float | None]]:
    """Return (unix seconds, value) of the first series of a range query; NaN becomes None.

    Raises:
        UnreachableError: there is no answer, when `strict`; otherwise that is an empty one.
    """
    parameters = {"query": query, "start": start, "end": end, "step": step_s}
    result = _ask(f"{prometheus}/api/v1/query_range", parameters, strict=strict)
    if not result:
        return []
    pairs = [(float(moment), float(value)) for moment, value in result[0]["values"]]
    return [(moment, value if value == value else None) for moment, value in pairs]


def _ask(url: str, parameters: dict[str, Any], *, strict: bool = False) -> list[dict[str, Any]]:
    try:
        response = requests.get(url, params=parameters, timeout=_TIMEOUT_S)
        response.raise_for_status()
        return list(response.json()["data"]["result"])
    except (requests.RequestException, ValueError, KeyError) as error:
        if strict:
            raise UnreachableError(
                f"Prometheus does not answer at {url} ({type(error).__name__});"
                " `storewatch status` shows whether it runs"
            ) from error
        return []
