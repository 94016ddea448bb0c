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


class JourneyWalker(Protocol):
    """Walks journeys, as a shopper that nobody else is."""

    def __call__(self, journey: str, base_url: str) -> str:
        """Walk a module:function once; return what went wrong, "" when it succeeded."""


@dataclass(frozen=True, slots=True)
class IncidentTally:
    """Incidents of one severity: how many were ever opened, how many are not resolved."""

    severity: str
    opened: int
    unresolved: int


class IncidentSource(Protocol):
    """Counts incidents."""

    def tallies(self) -> Sequence[IncidentTally]:
        """Return one tally for each severity that was ever seen."""


@dataclass(frozen=True, slots=True)
class SignalState:
    """What a business signal should bring now.

    `lower_bounds` is by window in minutes: fewer events in it alarm. `history_ratio` is the share
    of the week's hours for which history suffices.
    """

    name: str
    expected_per_minute: float | None
    lower_bounds: Mapping[int, float]
    history_ratio: float
    fitted_unix_s: float


class SignalSource(Protocol):
    """Knows what is expected of signals."""

    def states(self, now: float) -> Sequence[SignalState]:
        """Return the state of every signal at a moment in Unix seconds."""


@dataclass(frozen=True, slots=True)
class ArchivedTier:
    """How far the WAL of one tier is behind the database.

    `lag_s` is the age of the oldest transaction that the tier lacks, 0 when it lacks none, None
    before the database was first reached; so is `lag_bytes`.
    """

    name: str
    lag_s: float | None
    lag_bytes: int | None
    degraded: bool


@dataclass(frozen=True, slots=True)
class WalArchive:
    """The WAL archive as its archiver last described it, at `written_unix_s`.

    `broken` says that WAL is missing after the newest base backup: nothing later can be restored.
    """

    written_unix_s: float
    receiving: bool
    broken: bool
    tiers: tuple[ArchivedTier, ...]


class WalSource(Protocol):
    """Knows how the WAL archive is."""

    def archive(self) -> WalArchive | None:
        """Return its state; None when no archiver ever ran here."""
