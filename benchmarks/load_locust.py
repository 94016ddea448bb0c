"""Locust as it comes: FastHttpUser walks the same checkout, as often as asked; a peer."""

# ruff: noqa: E402 - gevent must patch before anything else is imported
from gevent import monkey

monkey.patch_all()

import sys
from typing import Any

from gevent.queue import JoinableQueue
from locust import FastHttpUser, task
from locust.env import Environment

from storefront.journeys import checkout
from storewatch.core.journey import SteppingShopper

_SHOPPERS = 50


def main(shop: str, journeys: int) -> None:
    """Walk the journeys, 50 at a time, as fast as the shop answers."""
    numbers = JoinableQueue(items=range(journeys), unfinished_tasks=journeys)
    user_class = type("Shopper", (_Shopper,), {"abstract": False, "host": shop, "numbers": numbers})
    runner = Environment(user_classes=[user_class], catch_exceptions=False).create_local_runner()
    runner.start(_SHOPPERS, spawn_rate=100)
    numbers.join()
    runner.quit()


class _Shopper(FastHttpUser):  # type: ignore[misc]
    abstract = True
    numbers: JoinableQueue

    @task  # type: ignore[untyped-decorator]
    def visit(self) -> None:
        checkout(SteppingShopper(self._send, {"number": self.numbers.get(), "run": "run"}))
        self.numbers.task_done()

    def _send(self, method: str, path: str, route: str | None, options: dict[str, Any]) -> Any:
        return self.client.request(method, path, name=route or path, **options)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
