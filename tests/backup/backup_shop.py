"""A small shop on the servers of the tests, and somebody who keeps buying there."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from backup_engines import PASSWORD


@dataclass
class Shop:
    """A small shop on real servers."""

    postgres_port: int
    redis_port: int
    images: Path

    @property
    def url(self) -> str:
        """The URL for backups; the second node is down."""
        from urllib.parse import quote

        return (
            f"postgresql://storewatch_backup:{quote(PASSWORD)}@127.0.0.1:{self.postgres_port},"
            f"127.0.0.1:1/shop?target_session_attrs=read-write"
        )

    def connect(self) -> psycopg.Connection[Any]:
        """Connect as the owner of everything."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.postgres_port,
            dbname="shop",
            user="postgres",
            password=PASSWORD,
            autocommit=True,
        )

    def redis(self) -> Any:
        """Connect to the cache."""
        return redis.Redis(port=self.redis_port, password=PASSWORD)


class Writer:
    """A thread that keeps placing and shipping orders, as the shop does."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._stop = threading.Event()
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.orders = 0

    def __enter__(self) -> "Writer":
        self._thread.start()
        assert self._began.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._shop.connect() as one:
            while not self._stop.wait(0.002):
                with one.transaction():
                    self.orders += 1
                    row = one.execute(
                        "INSERT INTO orders (key, total_cents) VALUES (%s, 100) RETURNING id",
                        (f"{time.time_ns()}",),
                    ).fetchone()
                    assert row is not None
                    one.execute("INSERT INTO order_lines VALUES (%s, 1, 1)", row)
                    one.execute("UPDATE products SET stock = stock - 1 WHERE id = 1 AND stock > 0")
                one.execute(
                    "UPDATE orders SET state = 'shipped' WHERE id IN "
                    "(SELECT id FROM orders WHERE state = 'placed' ORDER BY random() LIMIT 3)"
                )
                self._began.set()
