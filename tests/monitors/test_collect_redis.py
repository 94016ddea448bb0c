import time

import pytest
import redis
from watching import PASSWORD, free_port, one

from monitors.collectors.redis import RedisCollector
from monitors.settings import RedisSettings


def collector(port: int, password: str = PASSWORD, timeout: str = "500ms") -> RedisCollector:
    return RedisCollector(RedisSettings(port=port, password=password, timeout=timeout))


def test_a_server_tells_its_memory_its_clients_and_its_keys(cache: int) -> None:
    with redis.Redis(port=cache, password=PASSWORD) as client:
        client.set("cart:1", "x")
    families = list(collector(cache).collect())
    assert one(families, "redis_up", node="redis") == 1
    assert one(families, "redis_db_keys", db="db0") == 1
    assert one(families, "redis_memory_used_bytes") > 100_000
    assert one(families, "redis_connected_clients") >= 1
    assert one(families, "redis_instance_info", role="master") == 1


def test_counters_grow(cache: int) -> None:
    def commands() -> float:
        return one(list(collector(cache).collect()), "redis_commands_processed_total")

    assert commands() < commands()


def test_a_wrong_password_is_an_error(cache: int) -> None:
    with pytest.raises(redis.RedisError):
        list(collector(cache, "wrong").collect())


def test_a_port_nobody_listens_on_is_an_error() -> None:
    with pytest.raises(redis.RedisError):
        list(collector(free_port()).collect())


def test_a_server_that_accepts_and_never_answers_is_an_error_in_time(liar: int) -> None:
    started = time.monotonic()
    with pytest.raises(redis.RedisError):
        list(collector(liar, timeout="300ms").collect())
    assert time.monotonic() - started < 1.5


def test_a_server_that_is_down_is_down(cache: int) -> None:
    assert one(list(collector(cache).down()), "redis_up", node="redis") == 0
