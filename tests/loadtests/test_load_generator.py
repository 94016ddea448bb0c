"""The generator as the process that it is, against a real server."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from load_shop import SmallShop, make_certificate, profile, settings_for
from loopback import until

from loadtests.process import RunningLoad
from loadtests.run import start_load
from loadtests.verdict import reasons_to_distrust
from storewatch.core.errors import LoadError

Start = Callable[..., RunningLoad]


def test_a_stall_counts_from_the_intended_start_and_not_only_for_who_was_served(
    shop: SmallShop, start: Start
) -> None:
    """Coordinated omission: with one shopper, the arrivals behind the stalled one wait unseen."""
    stall = threading.Event()
    shop.before = lambda _path, count: stall.wait(0.8) if count == 15 else None
    load = start(settings_for(shop.url, connections=1), "look", profile(20, "2s"))
    found = load.wait()
    assert found["visits"] == 40
    assert found["service"]["p95_s"] < 0.2
    assert found["by_step"]["look"]["p95_s"] > 0.5
    assert found["visit"]["p95_s"] > 0.5
    assert any("late" in reason for reason in reasons_to_distrust(found))


def test_every_planned_arrival_is_served_and_the_warm_up_is_left_out(
    shop: SmallShop, start: Start
) -> None:
    cold = threading.Event()
    shop.before = lambda _path, count: cold.wait(0.5) if count <= 10 else None
    load = start(settings_for(shop.url), "buy", profile(10, "1500ms", warm_up="1s"))
    found = load.wait()
    assert (found["visits"], found["visits_failed"], found["arrivals_missed"]) == (15, 0, 0)
    assert found["visit"]["max_s"] < 0.4
    assert set(found["by_step"]) == {"look", "order"}
    attempts, orders = load.ledger()
    assert len(attempts) == len(orders) == len(shop.orders) == 25
    assert sum(row["arrivals"] for row in found["seconds"]) == 25
    assert [stage["visits"] for stage in found["by_stage"]] == [10, 15]
    assert 15 <= found["by_route"]["POST /orders"]["count"] <= 25  # by the moment of the answer


def test_failed_steps_and_mistakes_in_the_journey_are_failed_visits(
    shop: SmallShop, start: Start
) -> None:
    load = start(settings_for(shop.url), "mixed", profile(15, "1s"))
    found = load.wait()
    assert found["visits"] == 15
    assert found["visits_failed"] == 10
    assert found["errors"]["look: the broken page works"] == 5
    (mistake,) = (what for what in found["errors"] if what.startswith("the journey itself failed"))
    assert "AttributeError" in mistake
    assert found["errors"][mistake] == 5
    look = found["by_step"]["look"]
    assert (look["count"], look["failed"]) == (15, 10)


def test_a_shopper_that_never_comes_back_is_a_failed_visit_and_ends_with_the_run(
    shop: SmallShop, start: Start
) -> None:
    settings = settings_for(shop.url, connections=1, timeout="300ms")
    found = start(settings, "wander", profile(4, "700ms")).wait()
    assert found["visits"] == found["visits_failed"] == 1
    assert "given up" in next(iter(found["errors"]))
    assert found["arrivals_missed"] == 2  # those behind it, with one shopper for all
    assert any("never started" in reason for reason in reasons_to_distrust(found))


def test_a_mix_takes_its_journeys_by_their_weights(shop: SmallShop, start: Start) -> None:
    wanted = profile(40, "2s").model_copy(update={"mix": {"look": 3.0, "buy": 1.0}})
    found = start(settings_for(shop.url), None, wanted).wait()
    assert {name: row["visits"] for name, row in found["by_journey"].items()} == {
        "look": 80 - len(shop.orders),
        "buy": len(shop.orders),
    }
    assert 8 < len(shop.orders) < 34  # of 80 at a quarter: all but one run in 10 000
    assert set(found["by_step"]) == {"look/look", "buy/look", "buy/order"}


def test_an_answer_that_drips_without_end_is_given_up_at_the_timeout(
    shop: SmallShop, start: Start
) -> None:
    found = start(settings_for(shop.url, timeout="300ms"), "wait", profile(4, "700ms")).wait()
    assert found["visits"] == found["visits_failed"] == 3
    (said,) = found["errors"]  # one line, however many milliseconds each took
    assert "timed out after … milliseconds" in said
    assert found["visit"]["max_s"] < 1


def test_an_attempt_is_written_down_before_its_order_is_sent(shop: SmallShop, start: Start) -> None:
    running: list[RunningLoad] = []
    begun = threading.Event()
    seen: list[tuple[list[str], list[dict[str, Any]]]] = []

    def look_into_the_ledger(path: str, _count: int) -> None:
        if path == "/orders":
            begun.wait(10)
            seen.append(running[0].ledger())

    shop.before = look_into_the_ledger
    running.append(start(settings_for(shop.url), "buy", profile(1, "200ms")))
    begun.set()
    running[0].wait()
    (key,) = shop.orders
    assert seen == [([key], [])]
    assert running[0].ledger() == ([key], [shop.orders[key]])


def test_however_a_journey_tells_of_its_order_it_is_in_the_ledger(
    shop: SmallShop, start: Start
) -> None:
    load = start(settings_for(shop.url), "tell", profile(10, "400ms"))
    load.wait()
    attempts, orders = load.ledger()
    assert len(shop.orders) == 4
    assert sorted(attempts) == sorted(shop.orders)
    assert {order["idempotency_key"] for order in orders} == set(shop.orders)


def test_a_killed_generator_leaves_the_attempt_and_is_an_error_that_names_its_log(
    shop: SmallShop, start: Start
) -> None:
    ordering = threading.Event()

    def hold(path: str, _count: int) -> None:
        if path == "/orders":
            ordering.set()
            shop.ending.wait(20)

    shop.before = hold
    load = start(settings_for(shop.url), "buy", profile(5, "1m"))
    assert ordering.wait(20)
    load._processes[0].kill()
    with pytest.raises(LoadError, match=r"status -9 and no summary; see .*/generator\.log"):
        load.wait()
    attempts, orders = load.ledger()
    assert attempts
    assert orders == []


def test_a_generator_that_cannot_begin_is_an_error_that_names_its_log(start: Start) -> None:
    settings = settings_for("http://127.0.0.1:9").model_copy(
        update={"journeys": {"x": "no.such:y"}}
    )
    load = start(settings, "x", profile(5, "1m"))
    with pytest.raises(LoadError, match=r"see .*/generator\.log"):
        load.wait()
    assert "No module named 'no'" in (load.folder / "generator.log").read_text()


def test_told_to_stop_it_lets_journeys_under_way_finish_and_sums_up(
    shop: SmallShop, start: Start
) -> None:
    ordering, go_on = threading.Event(), threading.Event()

    def hold(path: str, _count: int) -> None:
        if path == "/orders":
            ordering.set()
            go_on.wait(10)

    shop.before = hold
    load = start(settings_for(shop.url), "buy", profile(5, "1h"))
    assert ordering.wait(20)
    found: list[dict[str, Any]] = []
    stopping = threading.Thread(target=lambda: found.append(load.stop()))
    stopping.start()
    stopping.join(0.5)
    assert stopping.is_alive()  # an order is under way
    go_on.set()
    stopping.join(20)
    (summary,) = found
    assert summary["visits"] >= 1
    assert summary["visits_failed"] == summary["arrivals_missed"] == 0
    attempts, orders = load.ledger()
    assert len(attempts) == len(orders) == len(shop.orders)
    assert summary["duration_s"] < 30


def test_stopped_before_it_has_begun_it_still_ends_in_order(shop: SmallShop, start: Start) -> None:
    load = start(settings_for(shop.url), "look", profile(5, "1h"))
    assert load.stop()["visits"] < 5


def test_load_ends_with_the_process_that_wanted_it(shop: SmallShop, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from load_shop import profile, settings_for
from loadtests.run import start_load
def say(line):
    print(load._processes[0].pid, flush=True)
folder = Path({str(tmp_path)!r})
load = start_load(settings_for({shop.url!r}), "look", profile(2, "1h"), folder, say)
load.wait()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert parent.stdout is not None
    with parent.stdout:
        generator = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    try:
        until(lambda: not generator.is_running() or generator.status() == psutil.STATUS_ZOMBIE)
    finally:
        if generator.is_running():
            generator.kill()
    assert (tmp_path / "summary.json").exists()


def test_the_certificate_is_checked_against_the_ca_file(tmp_path: Path, start: Start) -> None:
    ours, others = make_certificate(tmp_path, "ours"), make_certificate(tmp_path, "others")
    wanted = profile(10, "500ms")
    with SmallShop(ours).serving() as shop:
        trusting = start(settings_for(shop.url, ca_file=str(ours[0])), "look", wanted)
        doubting = start(settings_for(shop.url, ca_file=str(others[0])), "look", wanted)
        assert trusting.wait()["visits_failed"] == 0
        found = doubting.wait()
    assert found["visits"] == found["visits_failed"] == 5
    assert "self-signed certificate" in next(iter(found["errors"]))


def test_progress_is_told_at_once_and_every_second(shop: SmallShop, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    load = start_load(settings_for(shop.url), "look", profile(10, "1500ms"), tmp_path, told.append)
    load.wait()
    assert len(told) >= 2
    assert set(told[0]) >= {"elapsed_s", "duration_s", "stage", "visits", "failed", "busy"}
    assert told[-1]["visits"] >= 5


def test_a_generator_without_sockets_makes_the_run_invalid(shop: SmallShop, tmp_path: Path) -> None:
    """Every request needs one at once, and there are fewer."""
    shop.before = lambda _path, _count: shop.ending.wait(0.5)
    program = f"""
import resource
from pathlib import Path
from load_shop import profile, settings_for
from loadtests.run import start_load
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
folder = Path({str(tmp_path)!r})
settings = settings_for({shop.url!r}, connections=60)
start_load(settings, "look", profile(100, "2s"), folder, lambda line: None).wait()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["sockets_exhausted"] > 10
    assert any("found no socket left" in reason for reason in reasons_to_distrust(found))


def test_who_cannot_take_the_progress_ends_the_load_with_an_error(
    shop: SmallShop, tmp_path: Path
) -> None:
    def refuse(_line: dict[str, Any]) -> None:
        raise OSError("no space left on device")

    load = start_load(settings_for(shop.url), "look", profile(5, "1h"), tmp_path, refuse)
    with pytest.raises(LoadError, match="the load was ended: no space left on device"):
        load.wait()
    assert load._processes[0].returncode == 0
