"""The shop's worker: settles payments, ships, delivers, cancels. `python -m storefront.worker`"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

from storefront.errors import SettingsError, UnavailableError
from storefront.log import Log
from storefront.settings import Settings, load_settings
from storefront.shop import open_shop

_PAUSE_S = 1.0
_CONNECTIONS = 3


async def work_until(stopped: asyncio.Event, settings: Settings, log: Log) -> None:
    """Do every duty once a second until stopped; a database that is gone is waited for."""
    async with open_shop(settings, log, connections=_CONNECTIONS) as shop:
        duties: dict[str, Callable[[], Awaitable[int]]] = {
            "settled": shop.settlement.settle,
            "shipped": shop.logistics.ship,
            "delivered": shop.logistics.deliver,
            "abandoned": shop.logistics.cancel_abandoned,
        }
        log.write("worker_started")
        while not stopped.is_set():
            for name, duty in duties.items():
                await _do(name, duty, log)
            try:
                await asyncio.wait_for(stopped.wait(), _PAUSE_S)
            except TimeoutError:
                continue
    log.write("worker_stopped")


async def _do(name: str, duty: Callable[[], Awaitable[int]], log: Log) -> None:
    """Do one duty; whatever goes wrong is logged, and the next round tries again."""
    try:
        count = await duty()
    except UnavailableError as error:
        log.failure("database_unavailable", error, duty=name)
    except Exception as error:  # noqa: BLE001 - a worker that dies settles nothing
        log.failure("duty_failed", error, duty=name)
    else:
        if count:
            log.write("duty_done", duty=name, orders=count)


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    log = Log("worker")
    log.take_over_libraries()
    await work_until(stopped, settings, log)


def main() -> None:
    """Start the worker."""
    try:
        settings = load_settings()
        for name in ("SHOP_DB_PASSWORD", "REDIS_PASSWORD", "PAYMENT_API_KEY"):
            settings.secret(name)
    except SettingsError as error:
        sys.exit(f"worker: {error}")
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
