import threading
import time
from collections.abc import Callable

import pytest
import redis
from loopback import free_port
from watching import PASSWORD, Talker, one

from monitors.collectors.redis import RedisCollector
from monitors.collectors.resp import RespError
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
    with pytest.raises(RespError):
        list(collector(cache, "wrong").collect())


def test_a_port_nobody_listens_on_is_an_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        list(collector(free_port()).collect())


def test_a_server_that_accepts_and_never_answers_is_an_error_in_time(liar: int) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        list(collector(liar, timeout="300ms").collect())
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ValueError),
        (b"\x00\xff" * 50 + b"\r\n", ValueError),
        (b"+OK\r\n+no bulk string\r\n", ValueError),
        (b"+OK\r\n$5\r\nhello\r\n:3\r\n*0\r\n", ValueError),
        (b"+OK\r\n$-1\r\n:3\r\n*0\r\n", ValueError),
        (b"+OK\r\n$999999999999\r\n", ValueError),
        (b"+OK\r\n$12x\r\n", ValueError),
        (b"+OK\r\n" + b"*1\r\n" * 1000, ValueError),
        (b"+OK\r\n$20\r\nredis_ver", TimeoutError),
    ],
)
def test_a_server_that_answers_garbage_is_an_error(
    talker: Talker, answer: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        list(collector(talker(lambda send: send(answer)), timeout="300ms").collect())


def test_a_server_that_drips_or_never_ends_is_an_error_in_time_and_in_bounds(
    talker: Talker,
) -> None:
    def drip(send: Callable[[bytes], None]) -> None:
        while True:
            send(b"+")
            threading.Event().wait(0.05)

    def flood(send: Callable[[bytes], None]) -> None:
        while True:
            send(b"x" * 65536)

    # A busy machine may not get through the flood to its bound in time.
    for behaviour, error in ((drip, TimeoutError), (flood, (ValueError, TimeoutError))):
        started = time.monotonic()
        with pytest.raises(error):
            list(collector(talker(behaviour), timeout="500ms").collect())
        assert time.monotonic() - started < 1.5


def test_an_account_that_may_only_look_is_enough(cache: int) -> None:
    with redis.Redis(port=cache, password=PASSWORD) as client:
        client.execute_command("ACL SETUSER watcher on >look resetkeys +info +slowlog +config|get")
    settings = RedisSettings(port=cache, user="watcher", password="look")
    assert one(list(RedisCollector(settings).collect()), "redis_slowlog_length") >= 0
    with redis.Redis(port=cache, password=PASSWORD) as client:
        client.execute_command("ACL SETUSER watcher -slowlog -config")
    families = list(RedisCollector(settings).collect())
    assert one(families, "redis_up") == 1
    assert "redis_slowlog_length" not in {f.name for f in families}


def test_commands_are_counted_one_by_one(cache: int) -> None:
    with redis.Redis(port=cache, password=PASSWORD) as client:
        client.get("cart:1")
    families = list(collector(cache).collect())
    assert one(families, "redis_commands_total", cmd="get") >= 1
    assert one(families, "redis_commands_duration_seconds_total", cmd="get") < 1


def test_a_server_that_is_down_is_down(cache: int) -> None:
    assert one(list(collector(cache).down()), "redis_up", node="redis") == 0
