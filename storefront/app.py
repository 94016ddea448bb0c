"""One instance of the shop. `python -m storefront.app app-1`"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from storefront import api, pages
from storefront.errors import SettingsError, ShopError, UnavailableError
from storefront.log import Log
from storefront.middleware import Envelope, route_templates
from storefront.security import RequestLimiter
from storefront.settings import HOST, INSTANCES, Settings, load_settings
from storefront.shop import open_shop
from storefront.web import json_answer

_SECRETS = ("SHOP_DB_PASSWORD", "REDIS_PASSWORD", "PAYMENT_API_KEY", "SHOP_ADMIN_TOKEN")
_KEEP_ALIVE_S = 75
"""Longer than the edge keeps an idle connection (30 s), so that the edge is the one to close it."""


def answer_error(request: Request, error: ShopError) -> Response:
    """Return an error as JSON to machines and as a page to people."""
    if request.url.path.startswith(("/api/", "/health", "/ready")):
        answer = json_answer({"error": str(error)}, error.status)
    else:
        answer = pages.error_page(request, error)
    if error.status == UnavailableError.status:
        answer.headers["Retry-After"] = "1"
    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: unknown paths, wrong methods."""
    assert isinstance(error, HTTPException)
    shown = ShopError("there is no such page" if error.status_code == 404 else error.detail)
    shown.status = error.status_code
    return answer_error(request, shown)


def build_app(settings: Settings, instance: str, log: Log) -> Starlette:
    """Return one instance as an ASGI application.

    Args:
        settings: ports, secrets, limits.
        instance: its name, such as app-1.
        log: where its lines go.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_shop(settings, log) as shop:
            app.state.shop, app.state.instance = shop, instance
            flushing = asyncio.create_task(shop.analytics.flush_forever())
            log.write("instance_started")
            yield
            flushing.cancel()
            with suppress(UnavailableError):
                await shop.analytics.flush()
        log.write("instance_stopped")

    static = StaticFiles(directory=Path(__file__).parent / "static")
    routes = [*api.ROUTES, *pages.ROUTES, Mount("/static", static)]
    envelope = Middleware(
        Envelope,
        log=log,
        templates=route_templates(routes),
        limiter=RequestLimiter(settings.limits.requests_per_10_s),
        longest_s=settings.limits.request_s,
        error_page=answer_error,
    )
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[envelope],
        exception_handlers={HTTPException: _http_error},
    )


def main() -> None:
    """Serve one instance until SIGTERM."""
    if len(sys.argv) != 2 or sys.argv[1] not in INSTANCES:
        sys.exit("usage: python -m storefront.app app-1|app-2")
    instance = sys.argv[1]
    try:
        settings = load_settings()
        for name in _SECRETS:
            settings.secret(name)
    except SettingsError as error:
        sys.exit(f"{instance}: {error}")
    log = Log(instance)
    log.take_over_libraries()
    uvicorn.run(
        build_app(settings, instance, log), host=HOST, port=settings.port(instance),
        log_config=None, access_log=False, server_header=False, loop="uvloop", http="httptools",
        timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=3,
    )  # fmt: skip


if __name__ == "__main__":
    main()
