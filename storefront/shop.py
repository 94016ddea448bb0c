"""The shop's centres, constructed once per process and handed to what needs them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from storefront.analytics import Analytics
from storefront.cache import open_cache
from storefront.catalogue import Catalogue
from storefront.checkout import Checkout
from storefront.database import Database
from storefront.log import Log
from storefront.logistics import Logistics
from storefront.operations import Operations
from storefront.orders import Carts, Orders
from storefront.provider_client import ProviderClient
from storefront.security import Security
from storefront.settings import Settings
from storefront.settlement import Settlement
from storefront.support import Support
from storefront.users import Users


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything a request or the worker may use."""

    settings: Settings
    log: Log
    database: Database
    cache: Any
    security: Security
    users: Users
    catalogue: Catalogue
    carts: Carts
    orders: Orders
    checkout: Checkout
    settlement: Settlement
    logistics: Logistics
    analytics: Analytics
    operations: Operations
    support: Support


@asynccontextmanager
async def open_shop(settings: Settings, log: Log, *, connections: int = 8) -> AsyncIterator[Shop]:
    """Construct the centres; on leaving, write what waits and close every connection.

    Args:
        settings: the process's settings.
        log: the process's log.
        connections: most connections to the primary.
    """
    limits = settings.limits
    database = Database(settings, writers=connections)
    cache = open_cache(settings)
    providers = ProviderClient(settings)
    security = Security(database, cache, limits)
    carts = Carts(cache, limits.session_s)
    checkout = Checkout(database, providers, carts, limits)
    analytics = Analytics(database)
    await database.open()
    try:
        yield Shop(
            settings=settings,
            log=log,
            database=database,
            cache=cache,
            security=security,
            users=Users(
                database, cache, security, analytics, settings.password_cost, limits.session_s
            ),
            catalogue=Catalogue(database),
            carts=carts,
            orders=Orders(database),
            checkout=checkout,
            settlement=Settlement(database, providers, checkout, limits, log),
            logistics=Logistics(database, limits),
            analytics=analytics,
            operations=Operations(database, providers),
            support=Support(database),
        )
    finally:
        await providers.close()
        await database.close()
        await cache.aclose()
