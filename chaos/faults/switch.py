"""Faults behind a switch: a test double or a proxy that can be told to misbehave over HTTP."""

import os
import sys

import requests

from chaos.lease import injecting
from storewatch.core.errors import ChaosError

_TIMEOUT_S = 10.0


def turn(url: str, mode: str, token_variable: str, normal: str = "ok") -> str:
    """Switch a part to a fault with PUT {"mode": ...}.

    Args:
        url: of the switch.
        mode: the fault.
        token_variable: the environment variable that holds the bearer token, never its value.
        normal: the mode that is no fault.
    """
    module = ("python", "-m", "chaos.faults.switch")
    undo = (*module, "put", url, normal, token_variable)
    gone = (*module, "is", url, normal, token_variable)
    with injecting(f"{url} switched to {mode}", (undo,), (gone,)):
        put(url, mode, token_variable)
    return mode


def put(url: str, mode: str, token_variable: str) -> None:
    """Set the switch."""
    _request("PUT", url, token_variable, {"mode": mode})


def current(url: str, token_variable: str) -> str:
    """Return the mode that the switch stands at."""
    return str(_request("GET", url, token_variable, None).json()["mode"])


def _request(
    method: str, url: str, token_variable: str, body: dict[str, str] | None
) -> requests.Response:
    headers = {"Authorization": f"Bearer {os.environ.get(token_variable, '')}"}
    try:
        response = requests.request(method, url, json=body, headers=headers, timeout=_TIMEOUT_S)
        response.raise_for_status()
    except requests.RequestException as error:
        raise ChaosError(f"the switch {url} does not answer: {error}") from error
    return response


def main(verb: str, url: str, mode: str, token_variable: str) -> int:
    """`put` sets the switch; `is` ends with 0 when it stands at the mode."""
    try:
        if verb == "put":
            put(url, mode, token_variable)
            return 0
        return int(current(url, token_variable) != mode)
    except ChaosError:
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
