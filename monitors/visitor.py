"""What a walking shopper sends with: one session, verified TLS, and a deadline over all of it."""

import time
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_CHUNK_BYTES = 65_536
_MAXIMUM_BYTES = 8 * 1024 * 1024


class Visitor:
    """Send requests of one journey; past the deadline each of them fails at once.

    Args:
        base_url: what paths are joined to.
        ca_file: CA certificates to verify the shop's by; none: those of certifi.
        deadline: monotonic moment after which no answer is waited for.
    """

    def __init__(self, base_url: str, ca_file: Path | None, deadline: float) -> None:
        self.expired = False
        self._base_url = base_url.rstrip("/")
        self._deadline = deadline
        self._reading: requests.Response | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = True if ca_file is None else str(ca_file)
        self._session.headers["User-Agent"] = "storewatch-journey"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=1, max_retries=0))

    def send(self, method: str, path: str, route: str | None, options: dict[str, Any]) -> Any:
        """Send one request and read the whole answer.

        Raises:
            OSError: no answer, or none within the deadline.
        """
        del route  # names the request in load tests; here the step does
        options.setdefault("timeout", self._remaining_s())
        options["stream"] = True
        try:
            response = self._reading = self._session.request(
                method, self._base_url + path, **options
            )
            self._read(response)
        except requests.Timeout:
            self.expired = True
            raise
        return response

    def abort(self) -> None:
        """End the answer that is being read, from another thread: its reader sees it break off."""
        if self._reading is not None:
            self._reading.raw.shutdown()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _read(self, response: requests.Response) -> None:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            self._remaining_s()
            if len(body) > _MAXIMUM_BYTES:
                raise requests.RequestException(f"the answer is longer than {_MAXIMUM_BYTES} bytes")
        # `stream` would leave the body to whoever asks for it, beyond the deadline.
        response._content = bytes(body)
        response._content_consumed = True  # type: ignore[attr-defined]

    def _remaining_s(self) -> float:
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            self.expired = True
            raise requests.Timeout("no time was left for this request")
        return remaining_s
