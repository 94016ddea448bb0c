"""Around every request: its id, route, time and limits, and one log line without persons."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storefront.errors import (
    ForbiddenError,
    ShopError,
    TooManyRequestsError,
    UnavailableError,
)
from storefront.log import Log
from storefront.security import RequestLimiter

_REQUEST_ID = re.compile(r"[0-9a-f]{32}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    ),
}
ErrorPage = Callable[[Request, ShopError], Response]


def route_templates(routes: list[Any]) -> dict[Any, str]:
    """Return the path template of each endpoint, as it is shown in logs and metrics."""
    return {
        route.endpoint: re.sub(r":\w+}", "}", route.path)
        for route in routes
        if isinstance(route, Route)
    }


class Envelope:
    """ASGI middleware; the innermost errors become answers here, and nowhere else.

    Args:
        app: what is wrapped.
        log: where the line goes.
        templates: route template by endpoint.
        limiter: requests per client.
        longest_s: longest request.
        error_page: makes the answer to an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log: Log,
        templates: Mapping[Any, str],
        limiter: RequestLimiter,
        longest_s: float,
        error_page: ErrorPage,
    ) -> None:
        self._app = app
        self._log = log
        self._templates = templates
        self._limiter = limiter
        self._longest_s = longest_s
        self._error_page = error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        started = time.monotonic()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out["X-Request-ID"] = request_id
                out["X-Route"] = self._route(scope)
                for name, value in _SECURITY.items():
                    out[name] = value
            await send(message)

        error = await self._serve(scope, receive, sending, headers)
        if error is not None:
            if status == 0:
                known = error if isinstance(error, ShopError) else ShopError("something broke")
                request = Request(scope, receive)
                await self._error_page(request, known)(scope, receive, sending)
            if status >= 500:
                self._log.failure("request_failed", error, request_id=request_id)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._log.write(
            "request", request_id=request_id, method=method, route=self._route(scope),
            status=status, duration_s=round(time.monotonic() - started, 4),
        )  # fmt: skip

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers
    ) -> Exception | None:
        """Run the application; return what it raised."""
        try:
            self._admit(scope, headers)
            async with asyncio.timeout(self._longest_s):
                await self._app(scope, receive, send)
        except TimeoutError as error:
            late = UnavailableError("this took too long; try again")
            late.__cause__ = error
            return late
        except Exception as error:  # noqa: BLE001 - every error becomes an answer and a log line
            return error
        return None

    def _admit(self, scope: Scope, headers: Headers) -> None:
        if not self._limiter.admit(headers.get("x-real-ip", "direct")):
            raise TooManyRequestsError("too many requests; slow down")
        site = headers.get("sec-fetch-site", "none")
        if scope["method"] not in ("GET", "HEAD") and site not in ("same-origin", "none"):
            raise ForbiddenError("this request comes from another site")

    def _route(self, scope: Scope) -> str:
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return "not_found"
        return self._templates.get(endpoint, "/static")
