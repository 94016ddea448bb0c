import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import walks
from loopback import free_port, until
from watching import one, reply, samples

from monitors.journeys import JourneyCollector, JourneyPlan, JourneyTimer
from storewatch.core.journey import Journey, load_journey

Web = Callable[[Callable[[BaseHTTPRequestHandler], None]], str]


@pytest.fixture(autouse=True)
def release() -> Iterator[None]:
    """Let walks that hang end with their test."""
    walks.RELEASE.clear()
    yield
    walks.RELEASE.set()


def timer(journey: Journey, url: str, **options: Any) -> JourneyTimer:
    settings = {"interval_s": 0.1, "timeout_s": 1.0, **options}
    return JourneyTimer(JourneyPlan("checkout", journey, url, None, **settings))


def published(watched: JourneyTimer) -> list[Any]:
    return list(JourneyCollector([watched]).collect())


def test_a_good_walk_publishes_success_and_the_time_of_every_step(web: Web) -> None:
    watched = timer(walks.good, web(reply))
    watched.walk_once()
    found = published(watched)
    assert one(found, "storewatch_journey_success", journey="checkout") == 1
    assert one(found, "storewatch_journey_step_success", step="order") == 1
    assert one(found, "storewatch_journey_step_duration_seconds", step="front") > 0
    assert one(found, "storewatch_journey_runs_total", outcome="ok") == 1
    assert abs(one(found, "storewatch_journey_last_run_timestamp_seconds") - time.time()) < 5


def test_before_the_first_walk_there_are_only_counters_at_zero() -> None:
    found = published(timer(walks.good, "http://127.0.0.1:1"))
    assert {key[0] for key in samples(found)} == {"storewatch_journey_runs_total"}
    assert set(samples(found).values()) == {0}


def test_an_expectation_that_does_not_hold_fails_its_step_and_ends_the_walk(web: Web) -> None:
    watched = timer(walks.picky, web(reply))
    result = watched.walk_once()
    assert (result.outcome, result.error) == ("failed", "order: state is paid")
    found = published(watched)
    assert one(found, "storewatch_journey_step_success", step="front") == 1
    assert one(found, "storewatch_journey_step_success", step="order") == 0
    assert one(found, "storewatch_journey_runs_total", outcome="failed") == 1


def test_failures_in_a_row_are_counted_and_a_success_ends_the_row(web: Web) -> None:
    url = web(reply)
    watched = timer(walks.picky, url)
    for expected in (1, 2, 3):
        watched.walk_once()
        found = published(watched)
        assert one(found, "storewatch_journey_consecutive_failures") == expected
    watched.plan = timer(walks.good, url).plan
    watched.walk_once()
    assert one(published(watched), "storewatch_journey_consecutive_failures") == 0


def test_steps_that_were_not_reached_this_time_are_gone(web: Web) -> None:
    url = web(reply)
    watched = timer(walks.good, url)
    watched.walk_once()
    down = timer(walks.good, f"http://127.0.0.1:{free_port()}")
    watched.plan = down.plan
    watched.walk_once()
    found = published(watched)
    assert one(found, "storewatch_journey_step_success") == 0  # the one step is `front`


def test_a_shop_that_accepts_and_never_answers_is_a_timeout_at_its_step(liar: int) -> None:
    watched = timer(walks.good, f"http://127.0.0.1:{liar}")
    result = watched.walk_once()
    assert result.outcome == "timeout"
    assert result.duration_s < 2
    assert [(step.name, step.ok) for step in result.steps] == [("front", False)]


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_shop_that_trickles_is_a_timeout(web: Web, part: str) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        if part == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        pause = threading.Event()
        for _ in range(200):
            handler.wfile.write(b"x")
            pause.wait(0.02)

    watched = timer(walks.good, web(trickle), timeout_s=0.5)
    started = time.monotonic()
    assert watched.walk_once().outcome == "timeout"
    assert time.monotonic() - started < 1.5


def test_a_walk_that_hangs_is_given_up_and_the_timer_goes_on(web: Web) -> None:
    watched = timer(walks.deaf, web(reply), timeout_s=0.2)
    watched.start()
    until(lambda: watched.runs["timeout"] >= 3)
    watched.stop()


def test_walks_that_hang_do_not_pile_up(web: Web) -> None:
    watched = timer(walks.deaf, web(reply), timeout_s=0.05)
    before = threading.active_count()
    for _ in range(8):
        assert watched.walk_once().outcome == "timeout"
    assert threading.active_count() - before <= 3
    assert watched.runs["timeout"] == 8


def test_walking_goes_on_once_hung_walks_have_ended(web: Web) -> None:
    watched = timer(walks.deaf, web(reply), timeout_s=0.05)
    for _ in range(4):
        watched.walk_once()
    walks.RELEASE.set()
    until(lambda: watched.walk_once().outcome == "ok")


def test_a_mistake_in_the_journey_is_a_failed_walk(web: Web) -> None:
    result = timer(walks.buggy, web(reply)).walk_once()
    assert (result.outcome, result.error) == ("failed", "ZeroDivisionError: ")


def test_the_timer_walks_at_once_and_then_at_each_interval(web: Web) -> None:
    watched = timer(walks.good, web(reply), interval_s=0.1)
    started = time.monotonic()
    watched.start()
    until(lambda: watched.runs["ok"] >= 4)
    assert time.monotonic() - started >= 0.29
    watched.stop()


def test_each_walk_is_another_shopper_and_a_run_of_its_own(web: Web) -> None:
    seen = []

    def remember(shopper: Any) -> None:
        seen.append((shopper.data["number"], shopper.data["run"]))

    watched = timer(remember, web(reply), shoppers=(490, 491))
    for _ in range(3):
        watched.walk_once()
    assert [number for number, _ in seen] == [490, 491, 490]
    assert len({run for _, run in seen}) == 3


def test_a_certificate_that_does_not_verify_fails_the_walk(tmp_path: Any, web: Web) -> None:
    url = web(reply).replace("http://", "https://")
    assert timer(walks.good, url).walk_once().outcome == "failed"


def test_a_journey_is_loaded_by_its_path() -> None:
    assert load_journey("walks:good") is walks.good


@pytest.mark.parametrize(
    "path",
    [
        "",
        "walks",
        "walks:",
        ":good",
        "walks:none",
        "walks:not_a_function",
        "no.such.module:x",
        "..:x",
    ],
)
def test_a_wrong_journey_path_is_one_line_with_the_valid_form(path: str) -> None:
    with pytest.raises(ValueError, match=r"write module:function, such as") as caught:
        load_journey(path)
    assert "\n" not in str(caught.value)
