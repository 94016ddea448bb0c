"""Journeys that the tests walk."""

import threading

from storewatch.core.journey import Shopper

RELEASE = threading.Event()


def good(shopper: Shopper) -> None:
    """Two steps that succeed."""
    with shopper.step("front"):
        shopper.expect(shopper.get("/").status_code == 200, "front page")
    with shopper.step("order"):
        answer = shopper.post("/orders", json={"number": shopper.data["number"]})
        shopper.expect(answer.text == "ok", "ordered")


def picky(shopper: Shopper) -> None:
    """A second step whose expectation does not hold."""
    with shopper.step("front"):
        shopper.get("/")
    with shopper.step("order"):
        shopper.expect(False, "state is paid")


def deaf(shopper: Shopper) -> None:
    """A walk that hangs outside of any request."""
    with shopper.step("front"):
        RELEASE.wait(30)


def buggy(shopper: Shopper) -> None:
    """A journey with a mistake of its own."""
    raise ZeroDivisionError


not_a_function = 7
