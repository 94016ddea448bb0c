"""Run the generator in a process of its own and turn what it recorded into evidence."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from loadtests import report, verdict
from loadtests.ledger import Reconciliation, fetch_orders, reconcile
from loadtests.plan import Plan, Share
from loadtests.profiles import ProfileSettings
from loadtests.recorder import read_ledger
from loadtests.settings import LoadSettings, ReconciliationSettings
from storewatch.core.clock import utc_now
from storewatch.core.errors import LoadError, UsageError
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import write_atomic

Progress = Callable[[dict[str, Any]], None]
# Clocks of client and database may differ by this much; orders are looked up from before the run.
CLOCK_TOLERANCE = timedelta(seconds=30)
_START_WITHIN_S = 60.0
MIXED = "mix"  # the first half of the subject where no single journey is named


@dataclass(slots=True)
class RunningLoad:
    """Load that goes on until it is stopped or its plan ends."""

    plan: Plan
    folder: Path
    started_at: datetime
    _process: subprocess.Popen[str]
    _reader: threading.Thread
    _begun: threading.Event

    def stop(self) -> dict[str, Any]:
        """End the schedule, let journeys under way finish and return the summary.

        Raises:
            LoadError: the generator died; its last words are in `generator.log`.
        """
        self._begun.wait(_START_WITHIN_S)  # before, SIGTERM would find nobody to handle it
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        return self._end(self.plan.longest_end_s)

    def kill(self) -> None:
        """End the generator at once, for when nobody will read the result."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> dict[str, Any]:
        """Wait for the plan's end and return the summary, as `stop` does."""
        return self._end(_START_WITHIN_S + self.plan.duration_s + self.plan.longest_end_s)

    def _end(self, within_s: float) -> dict[str, Any]:
        try:
            status = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LoadError(
                f"the load generator did not end in {within_s:.0f} s and was killed;"
                f" see {self.folder / 'generator.log'}"
            ) from None
        self._reader.join()
        try:
            summary = json.loads((self.folder / "summary.json").read_text())
        except (OSError, ValueError) as error:
            raise LoadError(
                f"the load generator ended with status {status} and no summary;"
                f" see {self.folder / 'generator.log'}"
            ) from error
        return dict(summary)

    def ledger(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Return attempted keys and acknowledged orders so far."""
        path = self.folder / "ledger.jsonl"
        return read_ledger(path) if path.exists() else ([], [])

    def reconcile(self, settings: ReconciliationSettings) -> Reconciliation:
        """Compare the ledger with the shop and the payment providers."""
        attempts, acknowledged = self.ledger()
        found = fetch_orders(settings, self.started_at - CLOCK_TOLERANCE)
        return reconcile(attempts, acknowledged, *found, settings.accepted_states)


def journey_path(settings: LoadSettings, name: str) -> str:
    """Return the module:function of a configured journey.

    Raises:
        UsageError: there is no journey of that name.
    """
    try:
        return settings.journeys[name]
    except KeyError:
        known = ", ".join(settings.journeys)
        raise UsageError(f"no journey {name!r} in loadtests.journeys; there are: {known}") from None


def shares(
    settings: LoadSettings, journey: str | None, profile: ProfileSettings
) -> tuple[Share, ...]:
    """Return what arrivals do: the one journey, else the mix of the profile.

    Raises:
        UsageError: a journey that is not configured, or none and no mix.
    """
    mix = {journey: 1.0} if journey else profile.mix
    if not mix:
        known = ", ".join(settings.journeys)
        raise UsageError(f"the profile has no mix: name a journey, one of {known}")
    return tuple(Share(name, journey_path(settings, name), weight) for name, weight in mix.items())


def start_load(
    settings: LoadSettings,
    journey: str | None,
    profile: ProfileSettings,
    folder: Path,
    progress: Progress,
) -> RunningLoad:
    """Start the generator; `progress` gets an object a second from a thread."""
    plan = Plan(
        run=new_id(),
        journeys=shares(settings, journey, profile),
        base_url=settings.base_url,
        ca_file=str(settings.ca_file) if settings.ca_file else None,
        stages=profile.stages(),
        spacing=profile.spacing,
        moments=profile.moments(),
        timeout_s=settings.timeout,
        shoppers=settings.connections,
        patience_s=settings.timeout,
    )
    plan.write(folder / "plan.json")
    started_at = utc_now()
    with (folder / "generator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.generator", str(folder / "plan.json"), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    begun = threading.Event()
    reader = threading.Thread(target=_read, args=(process, progress, begun), daemon=True)
    reader.start()
    return RunningLoad(plan, folder, started_at, process, reader, begun)


def _read(process: subprocess.Popen[str], progress: Progress, begun: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ValueError):
            progress(json.loads(line))
            begun.set()
    begun.set()


def run_load(
    settings: LoadSettings,
    journey: str | None,
    profile_name: str,
    store: EvidenceStore,
    progress: Progress,
    release: str = "",
) -> Evidence:
    """Run one profile against one journey and return its evidence, report included.

    Args:
        settings: the section `loadtests`.
        journey: of `loadtests.journeys`; None: the mix of the profile.
        profile_name: of `loadtests.profiles`.
        store: where the evidence goes.
        progress: gets an object a second from a thread.
        release: of the shop that is loaded; the evidence says it, for comparisons.

    Raises:
        UsageError: an unknown journey or profile.
        LoadError: the generator died, or the ledger could not be reconciled.
    """
    if profile_name not in settings.profiles:
        known = ", ".join(settings.profiles)
        raise UsageError(f"no profile {profile_name!r} in loadtests.profiles; there are: {known}")
    profile = settings.profiles[profile_name]
    shares(settings, journey, profile)
    subject = f"{journey or MIXED}/{profile_name}"
    draft = store.open("load", subject, {"release": release} if release else None)
    load = start_load(settings, journey, profile, draft.folder, progress)
    try:
        summary = load.wait()
    except BaseException:
        load.kill()
        raise
    reasons = verdict.reasons_to_distrust(summary)
    reasons += verdict.reason_cut_short(summary, load.plan.duration_s)
    found = verdict.measurements(summary, load.plan, settings.targets)
    notes = list(reasons)
    if settings.reconciliation is not None:
        books = settled(load, settings.reconciliation)
        found += books.measurements()
        notes += books.notes()
    overrides = verdict.overrides(reasons)
    preview = _preview(draft.id, subject, load, found, notes, overrides)
    html = report.render(preview, load.plan, summary)
    write_atomic(draft.folder / "report.html", html.encode())
    return draft.finish(found, notes, overrides)


def settled(
    load: RunningLoad, settings: ReconciliationSettings, within_s: float = 10
) -> Reconciliation:
    """Reconcile; what is still under way in the shop gets a moment to settle before it counts."""
    deadline = time.monotonic() + within_s
    while (books := load.reconcile(settings)).notes() and time.monotonic() < deadline:
        time.sleep(0.5)
    return books


def _preview(
    identifier: str,
    subject: str,
    load: RunningLoad,
    found: list[Measurement],
    notes: list[str],
    overrides: list[Any],
) -> Evidence:
    """The evidence as the report shows it, which is itself one of the artefacts."""
    return Evidence(
        id=identifier,
        kind="load",
        subject=subject,
        started_at=load.started_at,
        duration_s=load.plan.duration_s,
        measurements=tuple(found),
        notes=tuple(notes),
        overrides=tuple(overrides),
    )
