"""Run a profile and turn what was recorded into evidence."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from loadtests import junit, report, verdict
from loadtests.ledger import Reconciliation
from loadtests.plan import Plan, Share
from loadtests.policies import MIX
from loadtests.process import ALONE, Crew, Progress, RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.saturation import Ask, said, saturation
from loadtests.settings import LoadSettings, ReconciliationSettings
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore
from storewatch.store.files import write_atomic


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run.

    Attributes:
        journey: of `loadtests.journeys`; None: the mix of the profile.
        profile: of `loadtests.profiles`.
        release: of the shop that is loaded; the evidence says it, for comparisons.
        crew: who makes the load.
        gives_up: whether to end once a target cannot be met any more, or an incident begins.
    """

    journey: str | None
    profile: str
    release: str = ""
    crew: Crew = ALONE
    gives_up: bool = True

    @property
    def subject(self) -> str:
        """What the evidence is about."""
        return f"{self.journey or MIX}/{self.profile}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else is known of the shop while it is loaded.

    Attributes:
        incident_since: names an incident that began after a moment, "" for none.
        ask: asks Prometheus for a range; None: there is none.
    """

    incident_since: Callable[[datetime], str] = lambda _moment: ""
    ask: Ask | None = None


NOTHING_AROUND = Surroundings()


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
    crew: Crew = ALONE,
    *,
    gives_up: bool = False,
) -> RunningLoad:
    """Start the generator; `progress` gets an object a second from a thread."""
    plan = Plan(
        run=new_id(),
        journeys=shares(settings, journey, profile),
        base_url=settings.base_url,
        ca_file=str(settings.ca_file) if settings.ca_file else None,
        stages=profile.stages(),
        spacing=profile.spacing,
        recording=profile.recording(),
        timeout_s=settings.timeout,
        shoppers=profile.users or settings.connections,
        patience_s=settings.timeout,
        think_s=profile.think_s,
        ladder=profile.ladder(),
        targets=settings.targets,
        gives_up=gives_up,
    )
    load = RunningLoad(plan, folder, crew)
    load.start(progress)
    return load


def find_profile(settings: LoadSettings, name: str) -> ProfileSettings:
    """Return a configured profile.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in settings.profiles:
        known = ", ".join(settings.profiles)
        raise UsageError(f"no profile {name!r} in loadtests.profiles; there are: {known}")
    return settings.profiles[name]


def run_load(
    settings: LoadSettings,
    wish: Wish,
    store: EvidenceStore,
    progress: Progress,
    around: Surroundings = NOTHING_AROUND,
) -> Evidence:
    """Run what is wished for and return its evidence, report included.

    Args:
        settings: the section `loadtests`.
        wish: what to run.
        store: where the evidence goes.
        progress: gets an object a second from a thread.
        around: what else is known of the shop.

    Raises:
        UsageError: an unknown journey or profile.
        LoadError: the generator died, or the ledger could not be reconciled.
    """
    profile = find_profile(settings, wish.profile)
    shares(settings, wish.journey, profile)
    draft = store.open("load", wish.subject, {"release": wish.release} if wish.release else None)
    load, summary = _ran(settings, wish, profile, draft, progress, around)
    passed = (one for one in store.list("load", wish.subject) if one.verdict is Verdict.PASS)
    return _judged(settings, draft, load, summary, around, next(passed, None))


def _ran(
    settings: LoadSettings,
    wish: Wish,
    profile: ProfileSettings,
    draft: EvidenceDraft,
    progress: Progress,
    around: Surroundings,
) -> tuple[RunningLoad, dict[str, Any]]:
    """Run the load to its end, or until an incident begins; return it with its summary."""
    running: list[RunningLoad] = []
    incidents: list[str] = []

    def watched(line: dict[str, Any]) -> None:
        draft.tell(line)
        progress(line)
        watching = wish.gives_up and running and not incidents
        if watching and (name := around.incident_since(running[0].started_at)):
            incidents.append(name)
            running[0].interrupt()

    asked = (settings, wish.journey, profile, draft.folder, watched, wish.crew)
    running.append(start_load(*asked, gives_up=wish.gives_up))
    try:
        summary = running[0].wait()
    except BaseException:
        running[0].kill()
        raise
    return running[0], {**summary, "incident": next(iter(incidents), "")}


def _judged(
    settings: LoadSettings,
    draft: EvidenceDraft,
    load: RunningLoad,
    summary: dict[str, Any],
    around: Surroundings,
    before: Evidence | None,
) -> Evidence:
    planned_s = load.plan.duration_s
    load.plan = plan = load.plan.ran(summary["stages"])
    distrust = verdict.reason_cut_short(summary, planned_s) + verdict.reasons_to_distrust(summary)
    overrides = verdict.overrides(distrust)
    notes = [*distrust, *verdict.remarks(summary)]
    if summary["aborted"]:
        overrides.append(Verdict.FAIL)
    found = verdict.measurements(summary, plan, settings.targets)
    if settings.reconciliation is not None:
        books = settled(load, settings.reconciliation)
        found += books.measurements()
        notes += books.notes()
    began = load.started_at.timestamp()
    ended = began + summary["duration_s"]
    filled = saturation(settings.saturation, around.ask, began, ended) if around.ask else []
    notes += [line] if (line := said(filled)) else []
    text = json.dumps([one.to_json() for one in filled], indent=1) + "\n"
    write_atomic(draft.folder / "saturation.json", text.encode())
    preview = _preview(draft, load, found, notes, overrides)
    html = report.render(preview, plan, summary, filled, before)
    write_atomic(draft.folder / "report.html", html.encode())
    write_atomic(draft.folder / "junit.xml", junit.render(preview))
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
    draft: EvidenceDraft,
    load: RunningLoad,
    found: list[Measurement],
    notes: list[str],
    overrides: list[Verdict],
) -> Evidence:
    """The evidence as the report shows it, which is itself one of the artefacts."""
    return Evidence(
        id=draft.id,
        kind=draft.kind,
        subject=draft.subject,
        started_at=load.started_at,
        duration_s=load.plan.duration_s,
        measurements=tuple(found),
        notes=tuple(notes),
        overrides=tuple(overrides),
    )
