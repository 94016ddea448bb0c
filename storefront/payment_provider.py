"""A payment provider, standing in for the real ones. `python -m storefront.payment_provider alpha`

Its switch decides how it behaves towards shops: `ok`; `error` (says that the capture failed);
`slow` (does it, and answers late); `hang` (answers, and does it, only once the switch is moved);
`down` (503 to everything). Ledger and switch answer always: they are not the shop's.
"""

import asyncio
import hmac
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from storefront.errors import SettingsError
from storefront.log import Log
from storefront.provider_ledger import Ledger
from storefront.settings import HOST, PROVIDERS, Settings, load_settings

MODES = ("ok", "error", "slow", "hang", "down")
_SLOW_S = 1.0
_STATUS = {"captured": 201, "failed": 402, "voided": 409, "refunded": 409}


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


class Provider:
    """Endpoints over one ledger and one switch."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._expected = f"Bearer {settings.secret('PAYMENT_API_KEY')}"
        self._ledger = Ledger(settings.shop / f"pay-{name}" / "ledger.sqlite")
        self._mode = "ok"
        self._delay_s = _SLOW_S
        self._moved = asyncio.Event()
        self._held: set[str] = set()

    async def behave(self) -> Response | None:
        """Do what the switch says before a shop's request is served; a response ends it."""
        while self._mode == "hang":
            await self._moved.wait()
        if self._mode == "down":
            return Response("", 503)
        return None

    async def capture(self, request: Request) -> Response:
        """POST /captures: take the money, once per key."""
        body = orjson.loads(await request.body())
        key = request.headers.get("idempotency-key", "")
        order_id, cents = str(body.get("order_id", "")), body.get("amount_cents")
        if not key or not order_id or not isinstance(cents, int) or cents <= 0:
            return _json({"error": "Idempotency-Key, order_id and amount_cents are needed"}, 400)
        self._held.add(key)
        refusal = await self.behave()
        self._held.discard(key)
        if refusal:
            return refusal
        state = "failed" if self._mode == "error" else "captured"
        entry = self._ledger.settle(key, order_id, cents, state)
        if entry["state"] != "voided" and (entry["order_id"], entry["amount_cents"]) != (
            order_id,
            cents,
        ):
            return _json({"error": "this key belongs to another order or amount"}, 422)
        if self._mode == "slow":
            await asyncio.sleep(self._delay_s)
        return _json(entry, _STATUS[entry["state"]])

    async def look_up(self, request: Request) -> Response:
        """GET /captures/{key}: what is under the key."""
        if refusal := await self.behave():
            return refusal
        entry = self._ledger.entry(request.path_params["key"])
        return _json(entry) if entry else _json({"state": "absent"}, 404)

    async def void(self, request: Request) -> Response:
        """POST /captures/{key}/void: a tombstone, unless the key is captured already."""
        if refusal := await self.behave():
            return refusal
        entry = self._ledger.settle(request.path_params["key"], "", 0, "voided")
        return _json(entry, 200 if entry["state"] == "voided" else 409)

    async def refund(self, request: Request) -> Response:
        """POST /captures/{key}/refund: give a capture back, once."""
        if refusal := await self.behave():
            return refusal
        entry = self._ledger.refund(request.path_params["key"])
        return _json(entry) if entry else _json({"state": "absent"}, 404)

    async def ledger(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint
        """GET /ledger: every entry."""
        return _json(self._ledger.entries())

    async def switch(self, request: Request) -> Response:
        """GET or PUT /switch: how the provider behaves; `delay_s` goes with slow.

        `held` are the keys of the captures that came and wait for the switch to be moved.
        """
        if request.method == "PUT":
            body = orjson.loads(await request.body())
            mode, delay_s = body.get("mode"), body.get("delay_s", _SLOW_S)
            if mode not in MODES or not isinstance(delay_s, int | float) or not 0 <= delay_s <= 60:
                return _json(
                    {"error": f"mode is one of {', '.join(MODES)}; delay_s is 0 to 60"}, 400
                )
            self._mode, self._delay_s = mode, float(delay_s)
            self._moved.set()
            self._moved = asyncio.Event()
        return _json({"mode": self._mode, "delay_s": self._delay_s, "held": sorted(self._held)})

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - an endpoint
        """GET /health: as the shops see it."""
        if refusal := await self.behave():
            return refusal
        status = 500 if self._mode == "error" else 200
        return _json({"provider": self.name, "mode": self._mode}, status)

    def guarded(self, endpoint: Any) -> Any:
        """Return the endpoint behind the API key; a body that is no JSON object is refused."""

        async def checked(request: Request) -> Response:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), self._expected.encode()):
                return _json({"error": "Bearer key is wrong"}, 401)
            try:
                answer: Response = await endpoint(request)
            except (orjson.JSONDecodeError, AttributeError):
                return _json({"error": "the body is no JSON object"}, 400)
            return answer

        return checked

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()


def build_provider(provider: Provider) -> Starlette:
    """Return the provider as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - ASGI's signature
        yield
        provider.close()

    guarded = provider.guarded
    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/captures", guarded(provider.capture), methods=["POST"]),
            Route("/captures/{key}", guarded(provider.look_up)),
            Route("/captures/{key}/void", guarded(provider.void), methods=["POST"]),
            Route("/captures/{key}/refund", guarded(provider.refund), methods=["POST"]),
            Route("/ledger", guarded(provider.ledger)),
            Route("/switch", guarded(provider.switch), methods=["GET", "PUT"]),
            Route("/health", provider.health),
        ],
    )


def main() -> None:
    """Serve one provider until SIGTERM."""
    if len(sys.argv) != 2 or sys.argv[1] not in PROVIDERS:
        sys.exit("usage: python -m storefront.payment_provider alpha|beta")
    name = sys.argv[1]
    try:
        settings = load_settings()
        provider = Provider(name, settings)
    except SettingsError as error:
        sys.exit(f"pay-{name}: {error}")
    Log(f"pay-{name}").take_over_libraries()
    uvicorn.run(
        build_provider(provider), host=HOST, port=settings.port(f"pay-{name}"), log_config=None,
        access_log=False, loop="uvloop", http="httptools", timeout_graceful_shutdown=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
