"""A state folder for leases, a part to switch, its proof, children that do not outlive the test."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_site import TOKEN, TOKEN_VARIABLE, SwitchedPart, write_experiment
from proof_world import Run, World

from chaos.lease import LEASE_VARIABLE, RUNNER_VARIABLE
from chaos.proof import ProofParts, prove
from chaos.settings import ChaosSettings, ProofSettings
from storewatch.core.evidence import Evidence
from storewatch.store.evidence import EvidenceStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state folder; what is left of the leases goes with the test, and the watchdogs too."""
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path))
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    monkeypatch.delenv(LEASE_VARIABLE, raising=False)
    yield tmp_path
    for lease in (tmp_path / "chaos").glob("*.json"):
        lease.unlink()


@pytest.fixture
def part() -> Iterator[SwitchedPart]:
    with SwitchedPart().serving() as found:
        yield found


Child = subprocess.Popen[str]


@pytest.fixture
def child() -> Iterator[Callable[[Child], Child]]:
    """Take a child into care."""
    children: list[Child] = []

    def care(one: Child) -> Child:
        children.append(one)
        return one

    yield care
    for one in children:
        one.kill()
        one.wait()
        for stream in (one.stdin, one.stdout):
            if stream:
                stream.close()


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """A file; that it exists is the fault."""
    return tmp_path / "fault"


@pytest.fixture
def world(part: SwitchedPart) -> World:
    return World(part)


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Prove it, with short patience."""

    def once(**changes: Any) -> Evidence:
        kind = changes.pop("kind", "proof")
        file = write_experiment(tmp_path / "hangs.json", world.part, changes.pop("longest_s", 60))
        runbook = tmp_path / "PartHangs.md"
        runbook.write_text("how to repair it")
        written = {
            "environment": "test",
            "allowed_environments": ["test"],
            "detect_within": "400ms",
            "recover_within": "1s",
            "quiet_within": "300ms",
            "lease": "60s",
            **changes,
        }
        parts = ProofParts(
            store=EvidenceStore(tmp_path),
            start_load=world.start_load,
            desk=world,
            alerts=world,
            repair=world.repair,
            rejoin=None if world.rejoins is None else world.rejoin,
            check=world.check,
            environment=os.environ,
            fingerprints={"runbook": runbook, "experiment": file},
        )
        wanted = ProofSettings(
            experiment=file,
            alert={"alertname": "PartHangs"},
            runbook="PartHangs",
            rejoin=None if world.rejoins is None else "PartMissing",
            journey="checkout",
        )
        settings = ChaosSettings.model_validate(written)
        return prove("part-hangs", wanted, settings, parts, lambda _line: None, kind)

    return once
