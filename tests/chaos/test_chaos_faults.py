"""Faults of real processes under a real supervisor, and of a switch over real HTTP."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chaos_site import TOKEN_VARIABLE, SwitchedPart
from loopback import until

from chaos.faults import process, switch
from chaos.lease import give_back, open_leases
from storewatch.core.errors import ChaosError

CONFIG = """
run: []
processes:
  - name: victim
    command: [python, -c, "import signal; signal.pause()"]
    restart: false
monitors: {}
alerting: {}
loadtests: {base_url: "http://127.0.0.1:9", journeys: {}}
console: {token: a-token-of-sixteen-letters}
"""


def storewatch(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "storewatch.cli.main", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, str]]:
    """A stack of one process, as the environment that names it."""
    with tempfile.TemporaryDirectory(prefix="storewatch-chaos-") as folder:
        config = Path(folder) / "storewatch.yaml"
        config.write_text(CONFIG)
        named = {"STOREWATCH_HOME": f"{folder}/var", "STOREWATCH_CONFIG": str(config)}
        started = storewatch("up", "--detach", **named)
        assert started.returncode == 0, started.stderr
        try:
            yield named
        finally:
            storewatch("down", **named)


@pytest.fixture
def named(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def victim(named: None) -> psutil.Process:
    return process.find("victim")


def test_a_frozen_process_stands_still_until_the_lease_is_given_back(
    victim: psutil.Process,
) -> None:
    assert process.freeze("victim") == "victim"
    until(lambda: victim.status() == psutil.STATUS_STOPPED)
    (held,) = open_leases()
    assert held.fault == "victim frozen"
    assert give_back(held)
    assert victim.status() != psutil.STATUS_STOPPED


def test_a_frozen_process_that_was_restarted_meanwhile_is_left_alone(
    victim: psutil.Process,
) -> None:
    process.freeze("victim")
    assert storewatch("processes", "restart", "victim").returncode == 0
    assert not victim.is_running()
    (held,) = open_leases()
    assert give_back(held)


def test_a_killed_process_is_brought_back_by_its_lease(victim: psutil.Process) -> None:
    undo = [["storewatch", "processes", "start", "$PROCESS"]]
    gone = [["storewatch", "processes", "pid", "$PROCESS"]]
    assert process.kill("victim", undo, gone) == "victim"
    until(lambda: not victim.is_running())
    (held,) = open_leases()
    assert held.undo == (("storewatch", "processes", "start", "victim"),)
    assert give_back(held)
    assert process.find("victim").pid != victim.pid


def test_the_process_to_hit_may_be_asked_for() -> None:
    assert process.chosen(["python", "-c", "print('victim')"]) == "victim"
    with pytest.raises(ChaosError, match="named no process: nobody knows"):
        process.chosen(["python", "-c", "import sys; sys.exit('nobody knows')"])
    with pytest.raises(ChaosError, match="named no process: no output"):
        process.chosen(["true"])


def test_a_process_that_the_stack_does_not_have_is_not_hit(named: None) -> None:
    with pytest.raises(ChaosError, match="no process 'nobody'"):
        process.freeze("nobody")
    assert open_leases() == []


def test_a_switch_is_turned_and_turned_back(part: SwitchedPart) -> None:
    switch.turn(part.switch, "hang", TOKEN_VARIABLE)
    assert part.mode == "hang"
    assert give_back(open_leases()[0])
    assert part.mode == "ok"


def test_a_switch_that_refuses_leaves_a_lease_that_can_be_undone(part: SwitchedPart) -> None:
    part.refused_modes = {"hang"}
    with pytest.raises(ChaosError, match="does not answer"):
        switch.turn(part.switch, "hang", TOKEN_VARIABLE)
    assert give_back(open_leases()[0])
    assert part.history == ["ok"]


def test_a_switch_is_not_turned_without_its_token(
    part: SwitchedPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "another")
    with pytest.raises(ChaosError, match="401"):
        switch.turn(part.switch, "hang", TOKEN_VARIABLE)
    assert part.history == []


def test_a_switch_that_stands_elsewhere_or_is_gone_is_not_seen_as_undone(
    part: SwitchedPart,
) -> None:
    part.mode = "hang"
    assert switch.main("is", part.switch, "ok", TOKEN_VARIABLE) == 1
    part.mode = "ok"
    assert switch.main("is", part.switch, "ok", TOKEN_VARIABLE) == 0
    assert switch.main("is", "http://127.0.0.1:9/switch", "ok", TOKEN_VARIABLE) == 1
    assert switch.main("put", "http://127.0.0.1:9/switch", "ok", TOKEN_VARIABLE) == 1
