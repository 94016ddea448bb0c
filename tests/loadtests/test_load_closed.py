"""Users that think, take a journey, and think again: a slow shop slows them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from load_shop import SmallShop, settings_for

from loadtests.process import RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.run import start_load

Start = Callable[..., RunningLoad]


def closed(users: int, think_time: str, hold: str, warm_up: str = "1s") -> ProfileSettings:
    written = {"shape": "closed", "users": users, "think_time": think_time}
    return ProfileSettings.model_validate({**written, "hold": hold, "warm_up": warm_up})


def test_users_come_as_often_as_the_interactive_response_time_law_says(
    shop: SmallShop, start: Start
) -> None:
    """Throughput = users / (response + think time); the shop answers within milliseconds."""
    found = start(settings_for(shop.url), "look", closed(60, "500ms", "5s")).wait()
    assert found["visits_failed"] == found["arrivals_missed"] == 0
    rate = found["visits"] / 5
    assert 95 < rate < 145  # 120 or a little less; 600 exponential pauses are within a tenth
    assert found["visits"] == found["arrivals"]
    assert found["complete"]


def test_users_wait_for_a_slow_shop_and_no_arrival_is_missed(shop: SmallShop, start: Start) -> None:
    slow = threading.Event()
    shop.before = lambda _path, _count: slow.wait(0.5)
    found = start(settings_for(shop.url), "look", closed(20, "500ms", "4s")).wait()
    assert found["arrivals_missed"] == 0
    assert 60 <= found["visits"] <= 100  # 20 / (0.5 + 0.5) for four seconds
    assert found["lateness"]["p99_s"] < 0.1


def test_users_come_one_after_the_other_during_the_warm_up(shop: SmallShop, start: Start) -> None:
    load = start(settings_for(shop.url), "look", closed(40, "100ms", "1s", warm_up="4s"))
    seconds = load.wait()["seconds"]
    first, third = seconds[0]["arrivals"], seconds[2]["arrivals"]
    assert 0 < first < third  # ten users in the first second, thirty in the third


def test_users_are_not_asked_for_a_rate(shop: SmallShop, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    wanted = closed(5, "100ms", "1500ms")
    start_load(settings_for(shop.url), "look", wanted, tmp_path, told.append).wait()
    assert {line["asked_per_s"] for line in told} == {None}
    assert told[-1]["started_per_s"] > 0


def test_think_times_are_drawn_from_the_seed_and_differ_from_user_to_user() -> None:
    found: Any = closed(10, "7s", "1m")
    assert found.think_s == 7.0
    assert [stage.end_rate for stage in found.stages()] == [10, 10]
    assert ProfileSettings.model_validate({"shape": "closed", "users": 5}).think_s == 7.0
