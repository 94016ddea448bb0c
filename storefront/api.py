"""The JSON API: what the pages do, for journeys and other machines, and what staff may do."""

import asyncio
import datetime as dt
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from storefront.cache import answer
from storefront.database import Row
from storefront.errors import ShopError
from storefront.web import (
    check_staff,
    client_address,
    idempotency_key,
    json_answer,
    json_body,
    number_in,
    order_id,
    session_of,
    shop_of,
    signed_in,
    text_in,
)


async def front(request: Request) -> Response:
    """GET /api/front: categories and featured products."""
    shop = shop_of(request)
    shop.analytics.record("visit")
    categories = await shop.catalogue.categories()
    products = await shop.catalogue.featured(today())
    return json_answer({"categories": categories, "featured": products})


async def category(request: Request) -> Response:
    """GET /api/categories/{slug}?page=1: one page of products."""
    number = number_in(request.query_params, "page", 1)
    slug = str(request.path_params["slug"])
    found, page = await shop_of(request).catalogue.in_category(slug, number)
    return json_answer(
        {"category": found, "products": page.products, "page": page.number, "pages": page.pages}
    )


async def search(request: Request) -> Response:
    """GET /api/search?q=: the best matches."""
    words = request.query_params.get("q", "")
    return json_answer({"products": await shop_of(request).catalogue.search(words)})


async def product(request: Request) -> Response:
    """GET /api/products/{product_id}: one product."""
    shop = shop_of(request)
    found = await shop.catalogue.product(request.path_params["product_id"])
    shop.analytics.record("view", found["id"])
    return json_answer(found)


async def log_in(request: Request) -> Response:
    """POST /api/login {email, password}: a token for the Authorization header."""
    body = await json_body(request)
    before = await session_of(request)
    token, session = await shop_of(request).users.sign_in(
        text_in(body, "email"), text_in(body, "password"), client_address(request), before
    )
    return json_answer({"token": token, "user_id": session.user_id})


async def log_out(request: Request) -> Response:
    """POST /api/logout: forget the token."""
    session, _ = await signed_in(request)
    await shop_of(request).users.sign_out(session)
    return json_answer({"signed_out": True})


async def cart(request: Request) -> Response:
    """GET /api/cart, or POST {product_id, quantity} to set a line."""
    session, _ = await signed_in(request)
    shop = shop_of(request)
    if request.method == "POST":
        body = await json_body(request)
        found = await shop.catalogue.product(number_in(body, "product_id"))
        await shop.carts.put(session, found["id"], number_in(body, "quantity"))
        shop.analytics.record("add_to_cart", found["id"])
    lines = await shop.carts.lines(session)
    return json_answer({"lines": [{"product_id": p, "quantity": q} for p, q in lines.items()]})


async def checkout(request: Request) -> Response:
    """POST /api/checkout with Idempotency-Key: order what is in the cart and pay it."""
    session, user_id = await signed_in(request)
    key = idempotency_key(request.headers.get("idempotency-key", ""))
    paid = await shop_of(request).checkout.run(session, user_id, key)
    body = {"order_id": paid.order_id, "state": "paid", "amount_cents": paid.amount_cents}
    return json_answer({**body, "idempotency_key": key}, 201)


async def orders(request: Request) -> Response:
    """GET /api/orders: the shopper's last orders."""
    _, user_id = await signed_in(request)
    return json_answer({"orders": await shop_of(request).orders.of(user_id)})


async def order(request: Request) -> Response:
    """GET /api/orders/{order_id}: one order of the shopper."""
    _, user_id = await signed_in(request)
    return json_answer(await shop_of(request).orders.order(order_id(request), user_id))


async def enquiries(request: Request) -> Response:
    """POST /api/enquiries {topic}: ask support."""
    _, user_id = await signed_in(request)
    topic = text_in(await json_body(request), "topic")
    return json_answer({"enquiry_id": await shop_of(request).support.ask(user_id, topic)}, 201)


async def answer_enquiry(request: Request) -> Response:
    """POST /api/admin/enquiries/{enquiry_id}/answer: note the first answer."""
    check_staff(request)
    enquiry_id = number_in(request.path_params, "enquiry_id")
    await shop_of(request).support.answer(enquiry_id)
    return json_answer({"enquiry_id": enquiry_id, "answered": True})


async def payment_provider(request: Request) -> Response:
    """GET or PUT /api/admin/payment-provider {provider}: where new payments go."""
    check_staff(request)
    operations = shop_of(request).operations
    if request.method == "PUT":
        provider = text_in(await json_body(request), "provider")
        return json_answer({"provider": await operations.use_provider(provider)})
    return json_answer({"provider": await operations.provider()})


async def refund(request: Request) -> Response:
    """POST /api/admin/orders/{order_id}/refund: give the money back."""
    check_staff(request)
    await shop_of(request).operations.refund(order_id(request))
    return json_answer({"order_id": order_id(request), "state": "refunded"})


async def health(request: Request) -> Response:
    """GET /health: this process lives; what it depends on is in the body."""
    return json_answer({"status": "alive", **await _dependencies(request)})


async def ready(request: Request) -> Response:
    """GET /ready: 200 when orders could be taken."""
    found = await _dependencies(request)
    return json_answer(found, 200 if all(found["dependencies"].values()) else 503)


async def _dependencies(request: Request) -> dict[str, Any]:
    shop = shop_of(request)
    checks = {
        "database": shop.database.read_primary("SELECT 1"),
        "catalogue": shop.database.read("SELECT 1"),
        "cache": answer(shop.cache.ping()),
    }
    results = await asyncio.gather(*checks.values(), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ShopError):
            raise result
    states = [not isinstance(result, BaseException) for result in results]
    instance: Row = {"instance": request.app.state.instance}
    return {**instance, "dependencies": dict(zip(checks, states, strict=True))}


def today() -> int:
    """Return the number of the day."""
    return dt.datetime.now(dt.UTC).date().toordinal()


ROUTES = [
    Route("/api/front", front),
    Route("/api/categories/{slug}", category),
    Route("/api/search", search),
    Route("/api/products/{product_id:int}", product),
    Route("/api/login", log_in, methods=["POST"]),
    Route("/api/logout", log_out, methods=["POST"]),
    Route("/api/cart", cart, methods=["GET", "POST"]),
    Route("/api/checkout", checkout, methods=["POST"]),
    Route("/api/orders", orders),
    Route("/api/orders/{order_id}", order),
    Route("/api/enquiries", enquiries, methods=["POST"]),
    Route("/api/admin/enquiries/{enquiry_id:int}/answer", answer_enquiry, methods=["POST"]),
    Route("/api/admin/payment-provider", payment_provider, methods=["GET", "PUT"]),
    Route("/api/admin/orders/{order_id}/refund", refund, methods=["POST"]),
    Route("/health", health),
    Route("/ready", ready),
]
