"""What one capability needs of another, as Protocols; `storewatch.wiring` has the real parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from storewatch.core.evidence import Measurement

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load that ran beside something else found: figures, what went wrong, the summary."""

    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...]
    summary: Mapping[str, Any]


class BackgroundLoad(Protocol):
    """Load that runs until it is stopped."""

    def stop(self) -> LoadResult:
        """End it, reconcile its ledger and return what was found."""

    def kill(self) -> None:
        """End it at once; nobody wants the result."""


class LoadStarter(Protocol):
    """Starts load; the files go into the folder."""

    def __call__(self, folder: Path) -> BackgroundLoad:
        """Start."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert as the desk received it; moments in unix seconds of the desk's clock."""

    incident: str
    labels: Labels
    opened_unix_s: float
    resolved_unix_s: float | None


class Desk(Protocol):
    """Where alerts arrive."""

    def deliveries(self, labels: Labels, since_unix_s: float) -> Sequence[Delivery]:
        """Return incidents that carry all these labels, opened since then, oldest first."""


class Alerts(Protocol):
    """What fires now."""

    def firing(self) -> Sequence[Labels]:
        """Return the labels of every active alert."""


class Repair(Protocol):
    """Runs a runbook."""

    def __call__(self, folder: Path) -> bool:
        """Run it, keep its log in the folder, return whether every step passed."""


class Check(Protocol):
    """One try of a journey."""

    def __call__(self) -> str:
        """Return what went wrong, "" when the journey succeeded."""
