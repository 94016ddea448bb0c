"""Run the configured proofs: what each works with, and load beside it."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaos.proof import ProofParts, prove
from chaos.settings import ProofSettings
from loadtests import run as load
from loadtests import verdict
from loadtests.judging import settled
from loadtests.process import RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.settings import LoadSettings
from monitors.journeys import JourneyTimer
from monitors.registry import journey_plan
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.parts import LoadResult, Repair
from storewatch.walking import what_went_wrong
from storewatch.wiring import REPAIR_SECTIONS, Parts

# Journeys on a timer use shoppers 490 to 499, load the others.
CHECKING_SHOPPERS = (480, 489)
UNTIL_STOPPED: Any = {"hold": "1h", "warm_up": "1s"}
_SHIPPED_EXPERIMENTS = Path(__file__).parent.parent / "chaos" / "experiments"


@dataclass(frozen=True, slots=True)
class ProofLoad:
    """Load beside a proof: latency is shown, the orders are judged."""

    settings: LoadSettings
    running: RunningLoad

    def stop(self) -> LoadResult:
        """End the load, reconcile its ledger and return what was found."""
        summary = self.running.stop()
        found = verdict.measurements(summary, self.running.plan, {})
        notes = verdict.reasons_to_distrust(summary)
        if self.settings.reconciliation is not None:
            books = settled(self.running, self.settings.reconciliation)
            found += books.measurements()
            notes += books.notes()
        return LoadResult(tuple(found), tuple(notes), summary)

    def kill(self) -> None:
        """End the load at once."""
        self.running.kill()


def find_proof(parts: Parts, name: str) -> ProofSettings:
    """Return a configured proof, its experiment file found.

    Raises:
        UsageError: no such proof, or no such file.
    """
    proofs = parts.config.settings.chaos.proofs
    if name not in proofs:
        known = ", ".join(proofs) or "none"
        raise UsageError(f"no proof {name!r} in chaos.proofs; there are: {known}")
    written = proofs[name].experiment
    for candidate in (parts.config.file.parent / written, _SHIPPED_EXPERIMENTS / written):
        if candidate.is_file():
            return proofs[name].model_copy(update={"experiment": candidate})
    raise UsageError(f"chaos.proofs.{name}.experiment: no file {written}")


def find_failover(parts: Parts, name: str | None) -> str:
    """Return the name of a proof that brings back what its repair did without.

    Args:
        parts: of the configuration.
        name: in chaos.proofs; None for the first such proof.

    Raises:
        UsageError: there is none, or the named one is none.
    """
    proofs = parts.config.settings.chaos.proofs
    found = [one for one, proof in proofs.items() if proof.rejoin]
    if not found:
        raise UsageError(
            "no proof in chaos.proofs is a fail-over: give the one that kills the primary"
            " `rejoin`, the runbook that brings the old primary back"
        )
    if name is not None and name not in found:
        raise UsageError(f"{name!r} is no proof with a `rejoin`; there are: {', '.join(found)}")
    return name or found[0]


def run_proof(parts: Parts, name: str, say: Callable[[str], None], kind: str = "proof") -> Evidence:
    """Run a configured proof and return its evidence.

    Args:
        parts: of the configuration.
        name: in chaos.proofs.
        say: told what happens.
        kind: of the evidence.

    Raises:
        UsageError: the configuration lacks what the proof needs.
    """
    proof = find_proof(parts, name)
    os.environ.update(parts.config.environment)  # leases and undo commands read it
    walker = _walker(parts, proof.journey)
    pages = {"runbook": proof.runbook, "rejoin runbook": proof.rejoin}
    works_with = ProofParts(
        store=parts.evidence,
        start_load=lambda folder: _start_load(parts, folder),
        desk=parts.incidents,
        alerts=parts.alertmanager,
        repair=_by_runbook(parts, proof.runbook, proof.parameters, say),
        rejoin=_by_runbook(parts, proof.rejoin, {}, say) if proof.rejoin else None,
        check=lambda: what_went_wrong(walker.walk_once()),
        environment=parts.environment,
        fingerprints={
            **{what: parts.runbooks.page(page).path for what, page in pages.items() if page},
            "experiment": proof.experiment,
        },
    )
    return prove(name, proof, parts.config.settings.chaos, works_with, say, kind)


def _by_runbook(
    parts: Parts, page: str, parameters: dict[str, str], say: Callable[[str], None]
) -> Repair:
    def run(folder: Path) -> bool:
        result = parts.run_runbook(page, REPAIR_SECTIONS, parameters, say)
        steps = [one.to_json() for one in result.results]
        (folder / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")
        return bool(result.ok)

    return run


def _start_load(parts: Parts, folder: Path) -> ProofLoad:
    settings = parts.config.settings
    profile = ProfileSettings(rate=settings.chaos.load_rate, **UNTIL_STOPPED)
    running = load.start_load(
        settings.loadtests, settings.chaos.load_journey, profile, folder, lambda _line: None
    )
    return ProofLoad(settings.loadtests, running)


def _walker(parts: Parts, name: str) -> JourneyTimer:
    """Return a watched journey, to be walked by shoppers that nobody else uses."""
    for journey in parts.config.settings.monitors.journeys:
        if journey.name == name:
            plan = journey_plan(journey, parts.config.home)
            return JourneyTimer(replace(plan, shoppers=CHECKING_SHOPPERS))
    raise UsageError(f"no journey {name!r} in monitors.journeys; a proof needs one to watch")
