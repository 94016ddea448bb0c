"""When a proof proves nothing, whatever happened to the shop."""

import pytest
from proof_world import Run, World

from chaos import proof
from storewatch.core.targets import Verdict


def test_an_alert_that_fires_before_makes_the_proof_invalid_and_nothing_is_injected(
    world: World, run: Run
) -> None:
    world.firing_before = ["PartHangs"]
    evidence = run()
    assert evidence.verdict is Verdict.INVALID
    assert any("firing before the fault: PartHangs" in note for note in evidence.notes)
    assert world.part.history == []
    assert world.loads == []


def test_an_incident_that_is_open_still_makes_the_proof_invalid(world: World, run: Run) -> None:
    world.stale = True
    evidence = run()
    assert evidence.verdict is Verdict.INVALID
    assert any("unresolved incident 0OLD" in note for note in evidence.notes)
    assert world.part.history == []


def test_an_environment_that_is_not_allowed_is_refused_at_once(world: World, run: Run) -> None:
    evidence = run(environment="production", quiet_within="1h")
    assert evidence.verdict is Verdict.INVALID
    assert any("not in chaos.allowed_environments" in note for note in evidence.notes)
    assert world.part.history == []


def test_a_journey_that_fails_before_makes_the_proof_invalid(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_await_success", lambda *_patience: "front: 503")
    evidence = run()
    assert evidence.verdict is Verdict.INVALID
    assert any("the journey fails before the fault: front: 503" in n for n in evidence.notes)
    assert world.part.history == []
    assert world.loads == ["started", "stopped"]


def test_load_without_one_acknowledged_order_proves_nothing(world: World, run: Run) -> None:
    world.orders["orders_acknowledged"] = 0
    evidence = run()
    assert evidence.verdict is Verdict.INVALID
    assert "no order was acknowledged under load: none could be lost" in evidence.notes


def test_a_measurement_that_the_load_did_not_bring_is_no_pass(world: World, run: Run) -> None:
    del world.orders["double_charges"]
    evidence = run()
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert evidence.value("double_charges") is None


def test_a_fault_that_ended_by_itself_is_not_the_runbooks_merit(world: World, run: Run) -> None:
    world.alert_comes = False
    evidence = run(longest_s=0.5, detect_within="2s")
    assert evidence.verdict is Verdict.INVALID
    assert any("the fault ended by itself" in note for note in evidence.notes)
