"""Load beside a proof, and what its check says."""

from dataclasses import dataclass

from loadtests import run as load
from loadtests import verdict
from loadtests.settings import LoadSettings
from monitors.journeys import JourneyResult
from storewatch.core.parts import LoadResult


@dataclass(frozen=True, slots=True)
class ProofLoad:
    """Load beside a proof: latency is shown, the orders are judged."""

    settings: LoadSettings
    running: load.RunningLoad

    def stop(self) -> LoadResult:
        """End the load, reconcile its ledger and return what was found."""
        summary = self.running.stop()
        found = verdict.measurements(summary, {})
        notes = verdict.reasons_to_distrust(summary)
        if self.settings.reconciliation is not None:
            books = load.settled(self.running, self.settings.reconciliation)
            found += books.measurements()
            notes += books.notes()
        return LoadResult(tuple(found), tuple(notes), summary)

    def kill(self) -> None:
        """End the load at once."""
        self.running.kill()


def what_went_wrong(result: JourneyResult) -> str:
    """Return what went wrong in a walk, "" for nothing."""
    return "" if result.outcome == "ok" else result.error or result.outcome
