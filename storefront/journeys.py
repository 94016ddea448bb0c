"""What shoppers do, for probes and load tests: functions over a `Shopper` (see docs).

A shopper has `get`, `post`, `step(name)`, `expect(condition, message)` and `data`. In:
`data["number"]` and `data["run"]`. Out: `data["attempt"]`, the idempotency key, set before the
order is sent, and `data["order"]`, set once the shop has acknowledged it.
"""

from contextlib import AbstractContextManager
from typing import Any, Protocol

_PRODUCTS = 500
_SHOPPERS = 500
_PASSWORD = "demo-shopper"  # noqa: S105 - demo accounts
_WORDS = (
    "lamp",
    "board game",
    "coffee press",
    "running shoe",
    "speaker",
    "backpack",
    "tent",
    "pillow",
)
_PAID = ("paid", "shipped", "delivered")


class Response(Protocol):
    """The part of an HTTP response that is looked at."""

    status_code: int
    text: str

    def json(self) -> Any:
        """Return the decoded body."""


class Shopper(Protocol):
    """Who walks through the shop."""

    data: dict[str, Any]

    def get(self, path: str, *, route: str | None = None, **options: Any) -> Response:
        """GET a path."""

    def post(self, path: str, *, route: str | None = None, **options: Any) -> Response:
        """POST to a path."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Measure a step."""

    def expect(self, condition: object, message: str) -> None:
        """End the journey unless the condition holds."""


def browse(shopper: Shopper) -> None:
    """Look around: front page, a category, a product."""
    number = int(shopper.data["number"])
    with shopper.step("front"):
        _ok(shopper, shopper.get("/", route="/"))
        front = shopper.get("/api/front", route="/api/front")
        _ok(shopper, front)
        categories = front.json()["categories"]
        shopper.expect(categories, "the front page has categories")
    slug = categories[number % len(categories)]["slug"]
    with shopper.step("category"):
        page = shopper.get(f"/api/categories/{slug}", route="/api/categories/{slug}")
        _ok(shopper, page)
        products = page.json()["products"]
        shopper.expect(products, "the category has products")
    with shopper.step("product"):
        _product(shopper, products[number // 7 % len(products)]["id"])


def search(shopper: Shopper) -> None:
    """Search for something and look at the first result."""
    words = _WORDS[int(shopper.data["number"]) % len(_WORDS)]
    with shopper.step("search"):
        found = shopper.get(f"/api/search?q={words.replace(' ', '+')}", route="/api/search")
        _ok(shopper, found)
        products = found.json()["products"]
        shopper.expect(products, "the search finds products")
    with shopper.step("product"):
        _product(shopper, products[0]["id"])


def account(shopper: Shopper) -> None:
    """Log in, look at the cart and at one's own orders; nothing is bought."""
    number = int(shopper.data["number"])
    with shopper.step("log_in"):
        who = {"email": f"shopper-{number % _SHOPPERS}@example.test", "password": _PASSWORD}
        signed_in = shopper.post("/api/login", route="/api/login", json=who)
        _ok(shopper, signed_in)
        headers = {"Authorization": f"Bearer {signed_in.json()['token']}"}
    with shopper.step("cart"):
        line = {"product_id": 1 + number * 37 % _PRODUCTS, "quantity": 1}
        _ok(shopper, shopper.post("/api/cart", route="/api/cart", json=line, headers=headers))
        _ok(shopper, shopper.get("/api/cart", route="/api/cart", headers=headers))
    with shopper.step("orders"):
        _ok(shopper, shopper.get("/api/orders", route="/api/orders", headers=headers))


def checkout(shopper: Shopper) -> None:
    """Buy something: the order must be paid, at the price that the product page showed."""
    number, run = int(shopper.data["number"]), shopper.data["run"]
    with shopper.step("front"):
        _ok(shopper, shopper.get("/", route="/"))
    with shopper.step("log_in"):
        account = {"email": f"shopper-{number % _SHOPPERS}@example.test", "password": _PASSWORD}
        signed_in = shopper.post("/api/login", route="/api/login", json=account)
        _ok(shopper, signed_in)
        headers = {"Authorization": f"Bearer {signed_in.json()['token']}"}
    with shopper.step("product"):
        product = _product(shopper, 1 + number * 37 % _PRODUCTS)
        shopper.expect(product["stock"] > 0, "the product is in stock")
    quantity = 1 + number % 2
    with shopper.step("add_to_cart"):
        line = {"product_id": product["id"], "quantity": quantity}
        _ok(shopper, shopper.post("/api/cart", route="/api/cart", json=line, headers=headers))
    with shopper.step("place_order"):
        order = _place(shopper, f"{run}-{number}", headers, quantity * product["price_cents"])
    with shopper.step("confirm"):
        answer = shopper.get(
            f"/api/orders/{order['order_id']}", route="/api/orders/{order_id}", headers=headers
        )
        _ok(shopper, answer)
        confirmed = answer.json()
        shopper.expect(confirmed["state"] in _PAID, f"the order is {confirmed['state']}, not paid")
        shopper.expect(confirmed["amount_cents"] == order["amount_cents"], "the amount is kept")


def _place(
    shopper: Shopper, key: str, headers: dict[str, str], expected_cents: int
) -> dict[str, Any]:
    shopper.data["attempt"] = key
    answer = shopper.post(
        "/api/checkout", route="/api/checkout", headers={**headers, "Idempotency-Key": key}
    )
    shopper.expect(answer.status_code == 201, f"checkout answers {answer.status_code}, not 201")
    order: dict[str, Any] = answer.json()
    shopper.data["order"] = {
        "order_id": order["order_id"],
        "idempotency_key": key,
        "amount_cents": order["amount_cents"],
    }
    shopper.expect(order["state"] == "paid", f"the order is {order['state']}, not paid")
    shopper.expect(order["amount_cents"] == expected_cents, "the amount is price times quantity")
    return order


def _product(shopper: Shopper, product_id: int) -> dict[str, Any]:
    answer = shopper.get(f"/api/products/{product_id}", route="/api/products/{product_id}")
    _ok(shopper, answer)
    product: dict[str, Any] = answer.json()
    shopper.expect(product["id"] == product_id, "the product page shows the product")
    return product


def _ok(shopper: Shopper, answer: Response) -> None:
    shopper.expect(answer.status_code == 200, f"answers {answer.status_code}, not 200")
