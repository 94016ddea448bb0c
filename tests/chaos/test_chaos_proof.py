"""The whole proof loop: a real experiment, and parts that behave as each test wants."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from proof_world import ORDERS, Run, World, assert_undone, events

from chaos import experiment, proof
from chaos.lease import Lease
from chaos.settings import ChaosSettings, ProofSettings
from storewatch.core.errors import LoadError, UnreachableError
from storewatch.core.parts import Delivery, Labels, LoadResult
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore


def test_a_fault_that_is_seen_and_repaired_under_load_passes(
    world: World, run: Run, tmp_path: Path
) -> None:
    evidence = run()
    assert evidence.verdict is Verdict.PASS, evidence.notes
    assert (evidence.kind, evidence.subject) == ("proof", "part-hangs")
    assert {m.name for m in evidence.measurements} == {
        "time_to_detect_s",
        "time_to_recover_s",
        *ORDERS,
    }
    detected, recovered = (evidence.value(f"time_to_{n}_s") for n in ("detect", "recover"))
    assert detected is not None
    assert recovered is not None
    assert 0 <= detected <= recovered < 20
    assert {m.name: str(m.target) for m in evidence.measurements if m.target} == {
        "time_to_detect_s": "<= 30",
        "time_to_recover_s": "<= 90",
        "orders_lost": "= 0",
        "orders_duplicated": "= 0",
        "double_charges": "= 0",
        "wrong_amounts": "= 0",
        "oversold_units": "= 0",
    }
    assert world.loads == ["started", "stopped"]
    assert world.repaired_while == "hang"  # the runbook gets no help from the injector
    assert world.part.history == ["hang", "ok"]
    assert_undone(world)
    files = {artefact.path for artefact in evidence.artefacts}
    assert files >= {
        "timeline.json",
        "runbook/steps.json",
        "load/plan.json",
        "experiment/journal.json",
    }
    assert events(tmp_path, evidence)[-2:] == [
        "fault undone and seen to be gone",
        "load stopped, ledger reconciled",
    ]
    assert [n.split(":")[0] for n in evidence.notes] == [
        "sha256 of the runbook",
        "sha256 of the experiment",
        "a note of the load",
    ]
    assert EvidenceStore(tmp_path).get(evidence.id).verdict is Verdict.PASS


def test_a_failover_is_over_when_what_it_did_without_is_back_under_load(
    world: World, run: Run, tmp_path: Path
) -> None:
    world.rejoins = True
    evidence = run(kind="failover")
    assert (evidence.kind, evidence.verdict) == ("failover", Verdict.PASS), evidence.notes
    recovered, redundant = (evidence.value(f"time_to_{n}_s") for n in ("recover", "redundancy"))
    assert recovered is not None
    assert redundant is not None
    assert recovered <= redundant < 20
    [target] = [m.target for m in evidence.measurements if m.name == "time_to_redundancy_s"]
    assert str(target) == "<= 300"
    assert world.rejoined_while == "hang, load started"  # no help from the injector here either
    assert "rejoin/steps.json" in {artefact.path for artefact in evidence.artefacts}
    assert_undone(world)


def test_a_failover_that_stays_without_its_standby_fails(world: World, run: Run) -> None:
    world.rejoins = False
    evidence = run(kind="failover")
    assert evidence.verdict is Verdict.FAIL
    assert any("the runbook PartMissing failed" in note for note in evidence.notes)
    assert evidence.value("time_to_redundancy_s") is None
    assert_undone(world)


def test_nothing_is_brought_back_to_a_shop_that_did_not_recover(world: World, run: Run) -> None:
    world.rejoins, world.heals = True, False
    assert run(kind="failover").verdict is Verdict.FAIL
    assert world.rejoined_while == ""


def test_an_alert_that_does_not_come_fails_and_the_shop_is_repaired_all_the_same(
    world: World, run: Run
) -> None:
    world.alert_comes = False
    evidence = run()
    assert evidence.verdict is Verdict.FAIL
    assert "no alert alertname=PartHangs within 0.4 s" in evidence.notes
    assert evidence.value("time_to_detect_s") is None
    assert world.repaired
    assert_undone(world)


def test_a_runbook_that_fails_fails_the_proof_and_the_fault_is_undone(
    world: World, run: Run
) -> None:
    world.runbook_works = False
    evidence = run()
    assert evidence.verdict is Verdict.FAIL
    assert any("the runbook PartHangs failed" in note for note in evidence.notes)
    assert evidence.value("time_to_recover_s") is None
    assert world.loads == ["started", "stopped"]
    assert_undone(world)


def test_a_shop_that_stays_ill_after_the_runbook_fails_the_proof(world: World, run: Run) -> None:
    world.heals = False
    evidence = run()
    assert evidence.verdict is Verdict.FAIL
    assert any("did not recover: place_order: the payment hangs" in n for n in evidence.notes)
    assert_undone(world)


def test_an_alert_that_does_not_end_fails_the_proof(world: World, run: Run) -> None:
    world.alert_ends = False
    evidence = run()
    assert evidence.verdict is Verdict.FAIL
    assert "the alert did not resolve in 1 s" in evidence.notes
    assert_undone(world)


def test_a_lost_order_fails_the_proof(world: World, run: Run) -> None:
    world.orders["orders_lost"] = 1
    evidence = run()
    assert evidence.verdict is Verdict.FAIL
    assert evidence.value("orders_lost") == 1


def test_a_generator_that_dies_fails_the_proof_and_is_ended(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> LoadResult:
        raise LoadError("the load generator ended with status -9")

    monkeypatch.setattr(world, "stop", die)
    evidence = run()
    assert evidence.verdict is Verdict.FAIL
    assert "the load generator ended with status -9" in evidence.notes
    assert world.loads == ["started", "killed"]
    assert_undone(world)


def test_an_alertmanager_that_does_not_answer_fails_the_proof(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable() -> Sequence[Labels]:
        raise UnreachableError("Alertmanager does not answer at http://127.0.0.1:9")

    monkeypatch.setattr(world, "firing", unreachable)
    assert run().verdict is Verdict.FAIL
    assert world.part.history == []


def test_interrupted_by_a_person_the_fault_is_undone_and_the_load_ended(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_folder: Path) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(world, "repair", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert world.part.history == ["hang", "ok"]
    assert world.loads == ["started", "killed"]
    assert_undone(world)


def test_a_fault_left_by_a_dead_run_is_undone_first(world: World, run: Run, tmp_path: Path) -> None:
    nobody = (1, 0.0)
    undo = (("touch", str(tmp_path / "undone")),)
    Lease("0DEAD", "an old fault", 0.0, undo, (), nobody, nobody, 1.0).write()
    world.firing_before = ["Something"]
    evidence = run()
    assert (tmp_path / "undone").exists()
    assert (
        events(tmp_path, evidence)[0] == "an earlier run left a fault behind, undone: an old fault"
    )


def test_recovery_needs_several_successes_in_a_row() -> None:
    answers = iter(["", "", "half of the instances", "", "", "", ""])
    assert proof._await_success(lambda: next(answers), 10) == ""
    assert list(answers) == []
    assert proof._await_success(lambda: "always", 0.0) == "always"


def test_an_alert_with_two_incidents_is_over_when_both_are(world: World) -> None:
    wanted = ProofSettings(
        experiment=Path("x"), alert={"alertname": "A"}, runbook="A", journey="checkout"
    )
    looks = iter(
        [
            [Delivery("1", {}, 10, None), Delivery("2", {}, 11, 20.0)],
            [Delivery("1", {}, 10, 30.0), Delivery("2", {}, 11, 20.0)],
        ]
    )

    parts: Any = SimpleNamespace(desk=SimpleNamespace(deliveries=lambda *_wanted: next(looks)))
    assert proof._await_resolved(parts, wanted, 5, 10) == 30.0


def test_targets_of_a_proof_are_those_of_the_requirements() -> None:
    assert ChaosSettings().targets["time_to_detect_s"] == Target("<=", 30)


def test_a_relaxed_target_leaves_the_others_in_force() -> None:
    targets = ChaosSettings.model_validate({"targets": {"time_to_detect_s": "<= 60"}}).targets
    assert targets["time_to_detect_s"] == Target("<=", 60)
    assert targets["orders_lost"] == targets["wrong_amounts"] == Target("=", 0)
    assert experiment._UNDO_WITHIN_S > 90
