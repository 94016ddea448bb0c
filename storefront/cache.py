"""The shop's way to Redis: carts and sessions, short waits, one error."""

from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from storefront.errors import UnavailableError
from storefront.settings import HOST, Settings

T = TypeVar("T")


def open_cache(settings: Settings) -> Any:
    """Return a client that reconnects once and never waits longer than `cache_s`."""
    return Redis(
        host=HOST,
        port=settings.port("redis"),
        password=settings.secret("REDIS_PASSWORD"),
        socket_timeout=settings.limits.cache_s,
        socket_connect_timeout=settings.limits.cache_s,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        decode_responses=True,
        max_connections=64,
    )


async def answer(command: Awaitable[T]) -> T:
    """Await a command.

    Raises:
        UnavailableError: Redis does not answer.
    """
    try:
        return await command
    except (RedisError, OSError) as error:
        raise UnavailableError("the cart and session store does not answer; try again") from error
