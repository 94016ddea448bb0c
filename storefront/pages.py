"""The HTML pages: from the front page to a paid order, without a line of JavaScript."""

import secrets
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from storefront.api import today
from storefront.errors import NotSignedInError, PaymentUnknownError, ShopError
from storefront.orders import MOST_UNITS
from storefront.users import Session
from storefront.web import (
    COOKIE,
    client_address,
    idempotency_key,
    number_in,
    order_id,
    session_of,
    shop_of,
    signed_in,
    text_in,
)

_HOUR_S = 3600


def _price(cents: int) -> str:
    return f"€ {cents // 100:,}.{cents % 100:02d}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["price"] = _price
    return environment


_TEMPLATES = _environment()


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    html = _TEMPLATES.get_template(template).render(most_units=MOST_UNITS, **values)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


async def front(request: Request) -> Response:
    """GET /: categories and featured products."""
    shop = shop_of(request)
    shop.analytics.record("visit")
    return render(
        "front.html",
        session=await session_of(request),
        categories=await shop.catalogue.categories(),
        products=await shop.catalogue.featured(today()),
    )


async def category(request: Request) -> Response:
    """GET /category/{slug}: one page of a category."""
    slug = str(request.path_params["slug"])
    number = number_in(request.query_params, "page", 1)
    found, page = await shop_of(request).catalogue.in_category(slug, number)
    return render("category.html", session=await session_of(request), category=found, page=page)


async def search(request: Request) -> Response:
    """GET /search?q=: the best matches."""
    words = request.query_params.get("q", "")
    products = await shop_of(request).catalogue.search(words)
    return render("search.html", session=await session_of(request), words=words, products=products)


async def product(request: Request) -> Response:
    """GET /products/{product_id}: one product."""
    shop = shop_of(request)
    found = await shop.catalogue.product(request.path_params["product_id"])
    shop.analytics.record("view", found["id"])
    return render("product.html", session=await session_of(request), product=found)


async def cart(request: Request) -> Response:
    """GET /cart: what is in the cart."""
    session = await session_of(request)
    lines = await _cart_lines(request, session)
    return render("cart.html", session=session, lines=lines, total=_total(lines))


async def change_cart(request: Request) -> Response:
    """POST /cart: set a line of the cart; a first visitor gets a session."""
    shop = shop_of(request)
    form = await request.form()
    found = await shop.catalogue.product(number_in(form, "product_id"))
    session, token = await session_of(request), ""
    if session is None:
        token, session = await shop.users.visit()
    quantity = number_in(form, "quantity")
    await shop.carts.put(session, found["id"], quantity)
    if quantity:
        shop.analytics.record("add_to_cart", found["id"])
    return _see("/cart", token)


async def log_in_form(request: Request) -> Response:
    """GET /login: the form."""
    return render("login.html", session=await session_of(request), message="", next=_next(request))


async def log_in(request: Request) -> Response:
    """POST /login: sign in and go on where the shopper came from."""
    form = await request.form()
    before = await session_of(request)
    try:
        token, _ = await shop_of(request).users.sign_in(
            text_in(form, "email"), text_in(form, "password"), client_address(request), before
        )
    except NotSignedInError as error:
        return render(
            "login.html", error.status, session=before, message=str(error), next=_next(request)
        )
    return _see(_next(request), token)


async def log_out(request: Request) -> Response:
    """POST /logout: forget the session."""
    session = await session_of(request)
    if session is not None:
        await shop_of(request).users.sign_out(session)
    answer = _see("/")
    answer.delete_cookie(COOKIE)
    return answer


async def checkout_form(request: Request) -> Response:
    """GET /checkout: what will be ordered, under a key of its own."""
    session = await session_of(request)
    if session is None or session.user_id is None:
        return _see("/login?next=/checkout")
    lines = await _cart_lines(request, session)
    if not lines:
        return _see("/cart")
    return render(
        "checkout.html", session=session, lines=lines, total=_total(lines),
        key=f"page-{secrets.token_hex(16)}", problem="",
    )  # fmt: skip


async def checkout(request: Request) -> Response:
    """POST /checkout: order and pay; sent twice it is the same order."""
    session, user_id = await signed_in(request)
    form = await request.form()
    key = idempotency_key(text_in(form, "key"))
    try:
        paid = await shop_of(request).checkout.run(session, user_id, key)
    except PaymentUnknownError:
        return _see("/orders")
    except ShopError as error:
        if error.status not in (502, 503):
            raise
        # The same key again: whatever happened, this shopper is charged once.
        lines = await _cart_lines(request, session)
        return render(
            "checkout.html", error.status, session=session, lines=lines, total=_total(lines),
            key=key, problem=str(error),
        )  # fmt: skip
    return _see(f"/orders/{paid.order_id}")


async def orders(request: Request) -> Response:
    """GET /orders: the shopper's orders."""
    session, user_id = await signed_in(request)
    return render("orders.html", session=session, orders=await shop_of(request).orders.of(user_id))


async def order(request: Request) -> Response:
    """GET /orders/{order_id}: one order."""
    session, user_id = await signed_in(request)
    found = await shop_of(request).orders.order(order_id(request), user_id)
    return render("order.html", session=session, order=found)


def error_page(request: Request, error: ShopError) -> Response:
    """Return the page of an error; somebody who must sign in is sent there."""
    if isinstance(error, NotSignedInError) and request.method == "GET":
        return _see(f"/login?next={request.url.path}")
    return render("error.html", error.status, session=None, code=error.status, error=str(error))


async def _cart_lines(request: Request, session: Session | None) -> list[dict[str, Any]]:
    if session is None:
        return []
    shop = shop_of(request)
    quantities = await shop.carts.lines(session)
    products = await shop.catalogue.named(list(quantities)) if quantities else {}
    return [
        {"product": products[product_id], "quantity": quantity}
        for product_id, quantity in quantities.items()
        if product_id in products
    ]


def _total(lines: list[dict[str, Any]]) -> int:
    return sum(line["product"]["price_cents"] * line["quantity"] for line in lines)


def _next(request: Request) -> str:
    """Return where to go after the log-in: a path of this shop and nothing else."""
    path = request.query_params.get("next", "/")
    safe = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if safe and path.isprintable() else "/"


def _see(path: str, token: str = "") -> Response:
    answer = RedirectResponse(path, 303)
    if token:
        answer.set_cookie(
            COOKIE, token, max_age=_HOUR_S, httponly=True, secure=True, samesite="lax"
        )
    return answer


ROUTES = [
    Route("/", front),
    Route("/category/{slug}", category),
    Route("/search", search),
    Route("/products/{product_id:int}", product),
    Route("/cart", cart),
    Route("/cart", change_cart, methods=["POST"]),
    Route("/login", log_in_form),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
    Route("/checkout", checkout_form),
    Route("/checkout", checkout, methods=["POST"]),
    Route("/orders", orders),
    Route("/orders/{order_id}", order),
]
