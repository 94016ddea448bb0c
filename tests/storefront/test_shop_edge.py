"""The shop as people and journeys meet it: through TLS, nginx and two instances."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from shop_stack import Stack, until

from storefront import journeys
from storewatch.core.journey import JourneyFailedError, SteppingShopper

LOG_FIELDS = {
    "time": str,
    "method": str,
    "route": str,
    "status": int,
    "request_time_s": float,
    "upstream_time_s": (int, float),
    "upstream": str,
    "request_id": str,
    "bytes_sent": int,
}


def walk(shop: Stack, journey: Callable[[Any], None], number: int, run: str) -> SteppingShopper:
    session = shop.browser()

    def send(method: str, path: str, _route: str | None, options: dict[str, Any]) -> Any:
        return session.request(method, shop.url(path), timeout=5, **options)

    shopper = SteppingShopper(send, {"number": number, "run": run})
    with session:
        journey(shopper)
    return shopper


def edge_lines(shop: Stack) -> list[dict[str, Any]]:
    text = (shop.settings.shop / "logs" / "access.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("number", range(0, 80, 9))
def test_the_journeys_are_green_through_the_edge(shop: Stack, number: int) -> None:
    assert [s.name for s in walk(shop, journeys.browse, number, "edge").steps] == [
        "front",
        "category",
        "product",
    ]
    assert [s.name for s in walk(shop, journeys.search, number, "edge").steps] == [
        "search",
        "product",
    ]
    bought = walk(shop, journeys.checkout, number, "edge")
    steps = ["front", "log_in", "product", "add_to_cart", "place_order", "confirm"]
    assert [step.name for step in bought.steps] == steps
    assert bought.data["attempt"] == f"edge-{number}"
    assert set(bought.data["order"]) == {"order_id", "idempotency_key", "amount_cents"}


def test_a_journey_names_the_step_that_the_shop_failed(shop: Stack) -> None:
    shop.switch("alpha", "error")
    with pytest.raises(JourneyFailedError, match=r"place_order: checkout answers 502, not 201"):
        walk(shop, journeys.checkout, 7, "failing")


def test_a_person_clicks_from_the_front_page_to_a_paid_order(shop: Stack) -> None:
    with shop.browser() as person:

        def click(path: str, pattern: str) -> str:
            page = person.get(shop.url(path), timeout=5)
            assert page.status_code == 200
            found = re.search(pattern, page.text)
            assert found, f"{path} has no {pattern}"
            return found.group(1)

        shelf = click("/", r'href="(/category/[a-z]+)"')
        product = click(shelf, r'href="(/products/\d+)"')
        number = click(product, r'name="product_id" value="(\d+)"')
        picture = click(product, r'src="(/images/[a-z]+-\d+\.svg)"')
        assert person.get(shop.url(picture), timeout=5).text.startswith("<svg")
        line = {"product_id": number, "quantity": "2"}
        assert "Your cart" in person.post(shop.url("/cart"), data=line, timeout=5).text
        assert person.get(shop.url("/checkout"), timeout=5).url.endswith("/login?next=/checkout")
        account = {"email": "shopper-60@example.test", "password": "demo-shopper"}
        page = person.post(shop.url("/login?next=/checkout"), data=account, timeout=5)
        key = re.search(r'name="key" value="([^"]+)"', page.text)
        assert key, "the cart came along through the log-in"
        paid = person.post(shop.url("/checkout"), data={"key": key.group(1)}, timeout=5)
        assert "your order is paid" in paid.text
        again = person.post(shop.url("/checkout"), data={"key": key.group(1)}, timeout=5)
        assert again.url == paid.url, "a second click is the same order"
        assert "/orders/" in click("/orders", r'href="(/orders/[^"]+)"')


def test_old_tls_is_refused_and_plain_http_is_sent_to_tls(shop: Stack) -> None:
    context = ssl.create_default_context(cafile=shop.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    address = ("127.0.0.1", shop.settings.port("tls"))
    with socket.create_connection(address, timeout=5) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")
    port = shop.settings.port("http")
    answer = requests.get(
        f"http://127.0.0.1:{port}/search?q=x",
        allow_redirects=False,
        timeout=5,
        proxies={"http": ""},
    )
    assert answer.status_code == 308
    assert answer.headers["Location"] == (
        f"https://127.0.0.1:{shop.settings.port('tls')}/search?q=x"
    )


def test_every_request_is_one_line_of_the_edge_log_with_its_route_template(shop: Stack) -> None:
    answer = shop.call("GET", "/api/products/30?who=me")
    request_id = answer.headers["X-Request-ID"]
    assert "X-Route" not in answer.headers
    shop.call("GET", "/images/kit-0001.svg")
    shop.call("GET", "/no/such/page")
    line = until(
        lambda: [line for line in edge_lines(shop) if line["request_id"] == request_id], "the line"
    )[0]
    assert line["route"] == "/api/products/{product_id}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    lines = edge_lines(shop)
    assert {"static", "not_found"} <= {line["route"] for line in lines}
    assert not any("30" in line["route"] for line in lines)
    for line in lines:
        assert list(line) == list(LOG_FIELDS)
        for name, kind in LOG_FIELDS.items():
            assert isinstance(line[name], kind), (name, line)
    application = shop.log_of("app-1") + shop.log_of("app-2")
    assert request_id in application


def test_a_frozen_instance_costs_a_bounded_time_and_no_order(shop: Stack) -> None:
    headers = [shop.sign_in(number) for number in range(70, 80)]
    shop.freeze("app-1")
    try:
        started = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            statuses = list(pool.map(lambda _: shop.call("GET", "/").status_code, range(30)))
        assert statuses == [200] * 30
        assert time.monotonic() - started < 5
        for one in headers:
            shop.fill_cart(one, 61)
        started = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            statuses = list(pool.map(lambda one: shop.check_out(one).status_code, headers))
        assert statuses == [201] * 10
        assert time.monotonic() - started < 7
        assert {line["upstream"] for line in edge_lines(shop)[-10:]} == {
            f"127.0.0.1:{shop.settings.port('app-2')}"
        }
    finally:
        shop.thaw("app-1")
    shop.kill("app-1")
    shop.start("app-1")
    until(lambda: "instance_started" in shop.log_of("app-1").splitlines()[-1], "the instance")


def test_when_no_instance_answers_the_edge_says_so(shop: Stack) -> None:
    for name in ("app-1", "app-2"):
        shop.stop(name)
    answer = shop.call("GET", "/")
    shop.start("app-1", "app-2")
    until(shop.ready, "the shop")
    assert answer.status_code in (502, 503, 504)
    assert "Back in a moment" in answer.text
    assert any(line["route"] == "unknown" for line in edge_lines(shop))


def test_the_instance_tells_which_dependency_is_gone(shop: Stack) -> None:
    healthy = shop.direct("app-1", "GET", "/health").json()
    assert healthy["dependencies"] == {"database": True, "catalogue": True, "cache": True}
    shop.stop("redis")
    answer = shop.direct("app-1", "GET", "/health")
    ready = shop.direct("app-1", "GET", "/ready")
    refused = shop.call("POST", "/api/login", json={"email": "a@example.test", "password": "x"})
    catalogue = shop.call("GET", "/api/products/1")
    shop.start("redis")
    until(shop.ready, "the shop")
    assert (answer.status_code, ready.status_code) == (200, 503)
    assert answer.json()["dependencies"] == {"database": True, "catalogue": True, "cache": False}
    assert refused.status_code == 503
    assert catalogue.status_code == 200


def test_failed_log_ins_are_counted_audited_and_lock_the_account(shop: Stack) -> None:
    wrong = {"email": "shopper-490@example.test", "password": "guess"}
    statuses = [shop.call("POST", "/api/login", json=wrong).status_code for _ in range(6)]
    assert statuses == [401, 401, 401, 401, 429, 429]
    right = {**wrong, "password": "demo-shopper"}
    assert shop.call("POST", "/api/login", json=right).status_code == 429
    rows = shop.rows("SELECT subject FROM audit_events WHERE kind = 'login_failed'")
    assert [row["subject"] for row in rows].count("user:491") == 4
    stranger = {"email": "nobody@example.test", "password": "guess"}
    assert shop.call("POST", "/api/login", json=stranger).status_code == 401
    assert shop.sign_in(491)


def test_orders_and_carts_of_others_are_not_shown(shop: Stack) -> None:
    order_id = shop.buy(62, 62).json()["order_id"]
    other = shop.sign_in(63)
    assert shop.call("GET", f"/api/orders/{order_id}", headers=other).status_code == 404
    assert shop.call("GET", f"/api/orders/{order_id}").status_code == 401
    assert shop.call("GET", "/api/orders/1", headers=other).status_code == 400


def test_a_form_sent_from_another_site_is_refused(shop: Stack) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = shop.call("POST", "/cart", data={"product_id": "1", "quantity": "1"}, headers=headers)
    assert answer.status_code == 403


def test_the_log_in_sends_nobody_to_another_site(shop: Stack) -> None:
    account = {"email": "shopper-64@example.test", "password": "demo-shopper"}
    for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
        path = f"/login?next={target}"
        answer = shop.call("POST", path, data=account, allow_redirects=False)
        assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/products/0", 404),
        ("/api/products/99999999999999999999", 404),
        ("/api/products/x", 404),
        ("/api/categories/none", 404),
        ("/api/categories/kitchen?page=99", 404),
        ("/api/categories/kitchen?page=-1", 400),
        ("/api/search?q=%00%27)%20or%20(", 200),
        ("/api/search", 200),
        ("/category/none", 404),
        ("/orders", 200),
    ],
)
def test_odd_requests_get_a_plain_answer(shop: Stack, path: str, status: int) -> None:
    assert shop.call("GET", path).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{",
        '{"product_id": 1}',
        '{"product_id": "x", "quantity": 1}',
        '{"product_id": 1, "quantity": 21}',
    ],
)
def test_odd_cart_lines_are_refused(shop: Stack, body: str) -> None:
    headers = {**shop.sign_in(65), "Content-Type": "application/json"}
    assert shop.call("POST", "/api/cart", data=body, headers=headers).status_code == 400


def test_what_shoppers_do_is_counted_without_saying_who(shop: Stack) -> None:
    counts = "SELECT count(*) AS n FROM events WHERE kind = %s"
    kinds = ("visit", "view", "add_to_cart", "order")
    before = {kind: shop.rows(counts, kind)[0]["n"] for kind in kinds}
    walk(shop, journeys.checkout, 66, "counted")
    for kind in kinds:
        until(lambda k=kind: shop.rows(counts, k)[0]["n"] > before[k], f"a {kind}", 5)
    columns = shop.rows(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'events'"
    )
    names = {row["name"] for row in columns}
    assert names == {"id", "kind", "product_id", "order_id", "created_at"}


def test_no_log_names_a_person_a_password_or_an_address(shop: Stack) -> None:
    walk(shop, journeys.checkout, 67, "private")
    shop.call("GET", "/search?q=secret-words")
    with pytest.raises(requests.JSONDecodeError):
        shop.call("POST", "/login", data={"email": "odd\x00@example.test", "password": "p"}).json()
    logs = [*shop.home.glob("*.log"), *(shop.settings.shop / "logs").iterdir()]
    assert len(logs) > 8
    for log in logs:
        text = log.read_text()
        for private in ("example.test", "Demo Shopper", "demo-shopper", "secret-words"):
            assert private not in text, f"{log.name} has {private}"
        for name, value in shop.environment.items():
            if name.endswith(("PASSWORD", "KEY", "TOKEN")):
                assert value not in text, f"{log.name} has {name}"
