"""Several workers make the load of one run, through Locust's master."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from load_shop import SmallShop, profile, settings_for
from loopback import until

from loadtests import verdict
from loadtests.process import Crew, RunningLoad
from loadtests.run import start_load
from loadtests.settings import LoadSettings
from storewatch.core.errors import LoadError

Team = Callable[..., RunningLoad]


@pytest.fixture
def team(tmp_path: Path) -> Any:
    """Start loads of several workers that do not outlive the test."""
    running: list[RunningLoad] = []

    def begin(
        settings: LoadSettings,
        journey: str,
        wanted: Any,
        crew: Crew,
        told: Callable[[dict[str, Any]], Any] = lambda _line: None,
    ) -> RunningLoad:
        running.append(start_load(settings, journey, wanted, tmp_path, told, crew))
        return running[-1]

    yield begin
    for load in running:
        load.kill()


def test_two_workers_share_the_arrivals_and_their_figures_are_one(
    shop: SmallShop, team: Team
) -> None:
    told: list[dict[str, Any]] = []
    load = team(
        settings_for(shop.url), "buy", profile(40, "3s", "1s"), Crew(workers=2), told.append
    )
    found = load.wait()
    assert (found["visits"], found["visits_failed"], found["arrivals_missed"]) == (120, 0, 0)
    assert found["arrivals"] == 120
    assert found["complete"]
    assert found["lost_workers"] == ""
    attempts, orders = load.ledger()
    assert len(set(attempts)) == len(orders) == len(shop.orders) == 160
    assert [stage["visits"] for stage in found["by_stage"]] == [40, 120]
    assert sum(row["requests"] for row in found["seconds"]) == 320
    assert found["steps"]["count"] == 240
    assert found["orders_acknowledged"] == 160
    assert verdict.reason_cut_short({**found, "incident": ""}, 4) == []
    folders = [load.folder / f"worker-{number}" for number in (1, 2)]
    mine = [(folder / "ledger.jsonl").read_text().count("attempt") for folder in folders]
    assert mine == [80, 80]
    assert told[-1]["visits"] == 120
    assert 0 < found["generator_cpu_ratio"] < 2


def test_a_lost_worker_ends_the_run_and_makes_it_invalid(shop: SmallShop, team: Team) -> None:
    told: list[dict[str, Any]] = []
    load = team(settings_for(shop.url), "look", profile(20, "1h"), Crew(workers=2), told.append)
    until(lambda: told and told[-1]["visits"] > 20)
    load._processes[1].kill()
    found = load.wait()
    assert found["lost_workers"].startswith("1 of 2 workers lost after")
    assert any("1 of 2 workers lost" in reason for reason in verdict.reasons_to_distrust(found))
    assert found["duration_s"] < 60


def test_told_to_stop_all_workers_finish_and_none_is_left(shop: SmallShop, team: Team) -> None:
    told: list[dict[str, Any]] = []
    load = team(settings_for(shop.url), "buy", profile(20, "1h"), Crew(workers=2), told.append)
    until(lambda: told and told[-1]["visits"] > 10)
    found = load.stop()
    assert not found["complete"]
    assert found["visits_failed"] == 0
    attempts, orders = load.ledger()
    assert len(attempts) == len(orders) == len(shop.orders)
    assert [process.returncode for process in load._processes] == [0, 0, 0]


def test_a_worker_from_elsewhere_joins(shop: SmallShop, team: Team, tmp_path: Path) -> None:
    load = team(settings_for(shop.url), "look", profile(20, "2s"), Crew(workers=1, remote=1))
    log = tmp_path / "generator.log"
    until(lambda: len(load._processes) == 2)
    argv = load._processes[1].args
    assert isinstance(argv, list)
    address = str(argv[-1])
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    other = subprocess.Popen(
        [sys.executable, "-m", "loadtests.generator", str(folder), "--follow", address],
        stderr=subprocess.DEVNULL,
    )
    try:
        found = load.wait()
        assert other.wait(20) == 0
    finally:
        other.kill()
    assert (found["visits"], found["arrivals_missed"]) == (40, 0), log.read_text()


def test_workers_that_cannot_begin_are_an_error_that_says_why(
    shop: SmallShop, team: Team, tmp_path: Path
) -> None:
    settings = settings_for(shop.url).model_copy(update={"journeys": {"x": "no.such:y"}})
    load = team(settings, "x", profile(5, "1m"), Crew(workers=2))
    with pytest.raises(LoadError, match=r"see .*/generator\.log"):
        load.wait()
    assert "No module named 'no'" in (tmp_path / "generator.log").read_text()
    assert all(process.poll() is not None for process in load._processes)


def test_workers_do_not_outlive_a_leader_that_is_killed(shop: SmallShop, team: Team) -> None:
    told: list[dict[str, Any]] = []
    load = team(settings_for(shop.url), "look", profile(5, "1h"), Crew(workers=2), told.append)
    until(lambda: bool(told))
    workers = [psutil.Process(process.pid) for process in load._processes[1:]]
    load.kill()
    assert not any(worker.is_running() for worker in workers)
    assert json.loads((load.folder / "plan.json").read_text())["shoppers"] == 10
