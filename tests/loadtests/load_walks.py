"""Journeys of the load tests' own small shop."""

from storewatch.core.journey import Shopper


def look(shopper: Shopper) -> None:
    """One step."""
    with shopper.step("look"):
        shopper.expect(shopper.get("/look").status_code == 200, "the page is there")


def buy(shopper: Shopper) -> None:
    """Place an order in two steps."""
    with shopper.step("look"):
        shopper.expect(shopper.get("/look").status_code == 200, "the page is there")
    with shopper.step("order"):
        key = f"{shopper.data['run']}-{shopper.data['number']}"
        shopper.data["attempt"] = key
        answer = shopper.post("/orders", json={"key": key}, headers={"Idempotency-Key": key})
        shopper.expect(answer.status_code == 201, "the order is placed")
        shopper.data["order"] = answer.json()


def tell(shopper: Shopper) -> None:
    """Place an order and tell of it in the other ways that a dict has."""
    with shopper.step("order"):
        key = f"{shopper.data['run']}-{shopper.data['number']}"
        shopper.data.setdefault("attempt", key)
        shopper.data.setdefault("attempt", "another")  # it is there
        answer = shopper.post("/orders", json={"key": key}, headers={"Idempotency-Key": key})
        if shopper.data["number"] % 2:
            shopper.data.update(order=answer.json())
        else:
            shopper.data |= {"order": answer.json()}


def mixed(shopper: Shopper) -> None:
    """By turns: all well, a failing step, a mistake of the journey's author."""
    turn = shopper.data["number"] % 3
    with shopper.step("look"):
        shopper.expect(shopper.get("/look").status_code == 200, "the page is there")
        if turn == 1:
            shopper.expect(shopper.get("/broken").status_code == 200, "the broken page works")
        if turn == 2:
            shopper.no_such_attribute  # type: ignore[attr-defined]  # noqa: B018


def wait(shopper: Shopper) -> None:
    """Ask for something that never ends."""
    with shopper.step("wait"):
        shopper.get("/endless")


def wander(shopper: Shopper) -> None:
    """Never come back."""
    with shopper.step("wander"):
        while True:
            shopper.get("/look")


def ask(shopper: Shopper) -> None:
    """Send one request with a number of its own."""
    with shopper.step("ask"):
        answer = shopper.get(f"/serve/{shopper.data['number']}", route="/serve/{number}")
        shopper.expect(answer.status_code == 200, "there is an answer")
