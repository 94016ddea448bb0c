from collections.abc import Iterator

import pytest
from shop_stack import MODULES, Stack


@pytest.fixture(scope="session")
def running_shop() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start(*MODULES)
        stack.wait_ready()
        yield stack
    finally:
        stack.remove()


@pytest.fixture
def shop(running_shop: Stack) -> Iterator[Stack]:
    """The shop in its normal state before each test, and its invariants kept after it."""
    yield running_shop
    for name in ("alpha", "beta"):
        running_shop.switch(name, "ok")
    running_shop.use_provider("alpha")
    assert running_shop.violations() == {}
