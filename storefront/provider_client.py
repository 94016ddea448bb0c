"""Talking to the payment providers: every answer is known, or honestly unknown."""

import asyncio
from enum import Enum
from typing import Any

import httpx

from storefront.settings import HOST, PROVIDERS, Settings


class Outcome(Enum):
    """What is known about an attempt after the provider was asked."""

    CAPTURED = "captured"
    FAILED = "failed"
    """The provider said so: nothing was taken, and nothing will be under this key."""
    VOIDED = "voided"
    """A tombstone lies under the key; a late capture is refused."""
    REFUNDED = "refunded"
    ABSENT = "absent"
    """The provider knows nothing of the key, yet."""
    NOT_SENT = "not_sent"
    """Nobody listened, so this request cannot have done anything."""
    UNKNOWN = "unknown"


class ProviderClient:
    """The shop's side of the providers' API; a request may take `provider_s` in all."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.limits.provider_s
        key = settings.secret("PAYMENT_API_KEY")
        self._clients = {
            name: httpx.AsyncClient(
                base_url=f"http://{HOST}:{settings.port(f'pay-{name}')}",
                headers={"Authorization": f"Bearer {key}"},
                timeout=self._timeout_s,
                trust_env=False,
            )
            for name in PROVIDERS
        }

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    async def capture(self, provider: str, key: str, order_id: str, amount_cents: int) -> Outcome:
        """Take the money of an order; the same key never takes it twice."""
        body = {"order_id": order_id, "amount_cents": amount_cents}
        return await self._ask(provider, "POST", "/captures", {"Idempotency-Key": key}, body)

    async def look_up(self, provider: str, key: str) -> Outcome:
        """Return what the provider knows of the key."""
        return await self._ask(provider, "GET", f"/captures/{key}")

    async def void(self, provider: str, key: str) -> Outcome:
        """Lay a tombstone under the key, unless it is captured already."""
        return await self._ask(provider, "POST", f"/captures/{key}/void")

    async def refund(self, provider: str, key: str) -> Outcome:
        """Give the money of a capture back."""
        return await self._ask(provider, "POST", f"/captures/{key}/refund")

    async def _ask(
        self,
        provider: str,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._clients[provider].request(
                    method, path, headers=headers, json=body
                )
        except httpx.ConnectError:
            return Outcome.NOT_SENT
        except (httpx.HTTPError, TimeoutError):
            return Outcome.UNKNOWN
        return _read(answer)


def _read(answer: httpx.Response) -> Outcome:
    """Return the state the provider names, whatever the status; no state is no knowledge."""
    try:
        state = answer.json()["state"]
        return Outcome(state)
    except (ValueError, KeyError, TypeError):
        return Outcome.UNKNOWN
