import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from loadtests.arrivals import Stage
from loadtests.curves import MOST_SECONDS, Curves
from loadtests.figures import Visit
from loadtests.recorder import MOST_ROUTES, OTHER, Recorder
from storewatch.core.journey import StepResult

HOLD = [Stage("hold", 1000.0, 1, 1)]
WARMED = [Stage("warm-up", 5.0, 1, 1, counts=False), *HOLD]


def visit(
    intended_s: float, waited_s: float, *steps_s: float, error: str = "", journey: str = "buy"
) -> Visit:
    """Return a visit; an error is one of its last step."""
    started_s = intended_s + waited_s
    last = len(steps_s) - 1
    steps = tuple(
        StepResult(f"step-{n}", n < last or not error, s, error if n == last else "")
        for n, s in enumerate(steps_s)
    )
    return Visit(journey, intended_s, started_s, started_s + sum(steps_s), steps, error)


def figures(recorder: Recorder) -> dict[str, Any]:
    recorder.write(0.1, 10.0)
    found: dict[str, Any] = json.loads((recorder.folder / "summary.json").read_text())
    return found


def test_percentiles_are_off_by_less_than_one_in_a_thousand(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    chance = random.Random(2)
    latencies = sorted(chance.lognormvariate(-2, 1.2) for _ in range(20_000))
    for number, latency_s in enumerate(latencies):
        recorder.visit(visit(number / 1000, 0.0, latency_s))
    found = figures(recorder)["steps"]
    for name, share in (("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)):
        exact = latencies[round(len(latencies) * share) - 1]
        assert found[name] == pytest.approx(exact, rel=0.001)
    assert found["max_s"] == pytest.approx(latencies[-1], rel=0.001)


def test_waiting_for_a_shopper_counts_for_the_first_step_and_only_there(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    recorder.visit(visit(1.0, 0.5, 0.1, 0.2))
    found = figures(recorder)
    assert found["by_step"]["step-0"]["max_s"] == pytest.approx(0.6, rel=0.001)
    assert found["by_step"]["step-1"]["max_s"] == pytest.approx(0.2, rel=0.001)
    assert found["visit"]["max_s"] == pytest.approx(0.8, rel=0.001)
    assert found["service"]["max_s"] == pytest.approx(0.3, rel=0.001)
    assert found["lateness"]["max_s"] == pytest.approx(0.5, rel=0.001)


def test_failures_are_counted_for_each_step_and_route(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    (tmp_path / "worker").mkdir()
    worker = Recorder(tmp_path / "worker", HOLD, relayed=True)
    worker.visit(visit(1.0, 0.0, 0.1, 0.2, error="step-1: it said no"))
    worker.visit(visit(1.0, 0.0, 0.1, 0.2))
    worker.request(1.1, "GET /", 0.1, ok=True)
    worker.request(1.3, "POST /orders", 0.1, ok=False)
    recorder.absorb(worker.take())
    recorder.request(1.4, "POST /orders", 0.1, ok=True)
    found = figures(recorder)
    failed = {name: (row["count"], row["failed"]) for name, row in found["by_step"].items()}
    assert failed == {"step-0": (2, 0), "step-1": (2, 1)}
    failed = {name: (row["count"], row["failed"]) for name, row in found["by_route"].items()}
    assert failed == {"GET /": (1, 0), "POST /orders": (2, 1)}


def test_the_warm_up_is_left_out_of_all_figures_but_the_curve(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, WARMED)
    recorder.visit(visit(4.9, 0.0, 3.0, error="step-0: too early to count"))
    recorder.request(4.9, "GET /", 0.1, ok=False)
    recorder.miss(4.9)
    recorder.visit(visit(5.0, 0.0, 0.1))
    recorder.request(5.1, "GET /", 0.1, ok=True)
    recorder.order({"order_id": "o1"})
    found = figures(recorder)
    assert (found["visits"], found["visits_failed"], found["arrivals_missed"]) == (1, 0, 0)
    assert (found["requests"], found["requests_failed"]) == (1, 0)
    assert found["by_route"]["GET /"]["count"] == 1
    assert found["errors"] == {}
    assert found["steps"]["max_s"] == pytest.approx(0.1, rel=0.001)
    assert [row["second"] for row in found["seconds"]] == [4, 5]
    assert found["seconds"][0]["failed"] == 2  # a visit, and the arrival that was missed


def test_a_visit_that_failed_before_its_first_step_is_a_failed_visit(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    recorder.visit(visit(1.0, 0.0, error="no step was reached"))
    found = figures(recorder)
    assert (found["visits"], found["visits_failed"]) == (1, 1)
    assert found["errors"] == {"no step was reached": 1}


def test_a_latency_beyond_ten_minutes_is_recorded_as_ten_minutes(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    recorder.visit(visit(0.0, 0.0, 4000.0))
    assert figures(recorder)["visit"]["max_s"] == pytest.approx(600, rel=0.001)


def test_a_long_run_keeps_full_histograms_of_its_last_seconds_only(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    for second in range(400):
        recorder.visit(visit(second, 0.0, 0.1 + second / 1000))
    recorder.visit(visit(3.5, 0.0, 390.0))  # it came to its end long after its second was closed
    in_full = [s for s in recorder.curves._seconds.values() if s.quantiles is None]
    assert len(in_full) <= 122
    found = figures(recorder)
    assert [row["second"] for row in found["seconds"]] == list(range(400))
    assert found["seconds"][3]["p95_s"] == pytest.approx(0.103, rel=0.001)
    assert found["seconds"][3]["started"] == 2
    assert found["steps"]["max_s"] == pytest.approx(390, rel=0.001)


def test_a_day_takes_no_more_memory_than_two_hours_and_loses_nothing(tmp_path: Path) -> None:
    curves, day_s = Curves(tmp_path, 0.0, lambda _: True), 86_400
    for number in range(day_s):
        second = curves.at(number)
        second.arrivals += 1
        if number % 10_000 == 0:
            second.latency.record(2.0 if number == 40_000 else 0.1)
        assert len(curves._seconds) <= MOST_SECONDS + 122
    curves.at(41.5).failed += 1  # of a second that was joined long ago
    rows = curves.rows()
    assert sum(row["arrivals"] for row in rows) == sum(row["width_s"] for row in rows) == day_s
    assert all(a["second"] + a["width_s"] == b["second"] for a, b in pairwise(rows))
    assert (rows[0]["width_s"], rows[-1800]["width_s"]) == (32, 1)
    assert [row["second"] for row in rows if row["failed"]] == [32]
    (slow,) = (row for row in rows if (row["p95_s"] or 0.0) > 1)
    assert (slow["second"], slow["width_s"]) == (40_000, 32)


def test_the_summary_is_whole_or_absent(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    assert not (tmp_path / "summary.json").exists()
    figures(recorder)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.json", "ledger.jsonl"}


def test_stages_and_journeys_have_figures_of_their_own(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, WARMED, mixed=True)
    recorder.visit(visit(1.0, 0.0, 0.4, error="step-0: slow"))
    recorder.visit(visit(6.0, 0.0, 0.1))
    recorder.visit(visit(7.0, 0.0, 0.2, journey="browse"))
    recorder.miss(8.0)
    found = figures(recorder)
    early, late = found["by_stage"]
    assert (early["name"], early["visits"], early["visits_failed"]) == ("warm-up", 1, 1)
    assert (late["visits"], late["arrivals_missed"]) == (2, 1)
    assert early["steps"]["max_s"] == pytest.approx(0.4, rel=0.001)
    assert set(found["by_journey"]) == {"buy", "browse"}
    assert found["by_step"]["buy/step-0"]["max_s"] == pytest.approx(0.1, rel=0.001)
    assert found["by_step"]["browse/step-0"]["max_s"] == pytest.approx(0.2, rel=0.001)


def test_routes_are_bounded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    for number in range(MOST_ROUTES + 50):
        recorder.request(1.0, f"GET /orders/{number}", 0.1, ok=True)
    routes = figures(recorder)["by_route"]
    assert len(routes) == MOST_ROUTES + 1
    assert routes[OTHER]["count"] == 50


def test_every_window_of_ten_seconds_has_its_percentiles(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD)
    for second in range(400):
        recorder.visit(visit(second, 0.0, 1.0 if 200 <= second < 210 else 0.1))
    found = figures(recorder)["windows"]
    slow = [row["start_s"] for row in found if row["p95_s"] > 0.5]
    assert len(found) == 40
    assert slow == [200]


def test_the_windows_of_a_search_are_those_of_the_steps_that_count_in_the_end(
    tmp_path: Path,
) -> None:
    """A second is let go of after 120 s, when nobody knows yet which step will count."""
    steps = [Stage(f"step-{n}", 30.0, n, n, counts=False, may_break=True) for n in range(1, 9)]
    recorder = Recorder(tmp_path, steps)
    for second in range(240):
        recorder.visit(visit(second, 0.0, second / 1000))
    recorder.count_in(1)
    windows = figures(recorder)["windows"]
    assert [row["start_s"] for row in windows] == [30, 40, 50]
    assert windows[0]["max_s"] == pytest.approx(0.039, rel=0.001)


def test_what_is_answered_after_the_end_is_in_no_rate(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [Stage("hold", 10.0, 1, 1)])
    recorder.request(9.9, "GET /", 0.1, ok=True)
    recorder.request(10.1, "GET /", 0.1, ok=True)
    found = figures(recorder)
    assert found["requests"] == 1
    assert [row["requests"] for row in found["seconds"]] == [1, 1]


def test_an_arrival_missed_in_any_stage_but_the_warm_up_is_missed(tmp_path: Path) -> None:
    fall = Stage("fall", 10.0, 9, 1, counts=False)
    recorder = Recorder(tmp_path, [WARMED[0], Stage("peak", 10.0, 9, 9), fall])
    for moment in (1.0, 6.0, 16.0):
        recorder.miss(moment)
    found = figures(recorder)
    assert found["arrivals_missed"] == 2
    assert [row["second"] for row in found["seconds"] if row["failed"]] == [1, 6, 16]


def test_a_visit_that_may_take_long_is_still_in_its_second(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HOLD, longest_visit_s=210.0)
    for second in range(200):
        recorder.visit(visit(second, 0.0, 0.1))
    recorder.visit(visit(3.5, 0.0, 200.0))
    found = figures(recorder)
    assert found["windows"][0]["max_s"] == pytest.approx(200, rel=0.001)


def test_how_late_the_generator_wakes_is_that_of_its_worst_stage(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [*WARMED, Stage("peak", 10.0, 1, 1)])
    for tick in range(200):
        recorder.woke(tick / 50, 0.5)  # in the warm-up
        recorder.woke(5 + tick / 50, 0.001)
        recorder.woke(1005 + tick / 50, 0.07)
    assert figures(recorder)["waking"]["p99_s"] == pytest.approx(0.07, rel=0.001)
