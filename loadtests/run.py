"""Run a profile against the journeys, to its end or until it is ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.judging import NOTHING_AROUND, Surroundings, judge
from loadtests.plan import Plan, Share
from loadtests.policies import MIX
from loadtests.process import ALONE, Crew, Progress, RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.settings import LoadSettings
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence, new_id
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore

# After a step its figures must have come from all workers before it is judged.
_PAUSE_OF_A_CREW_S = 3.0


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
        LoadError: the generator died.
        KeyboardInterrupt, SystemExit: it was ended; what was measured until then is evidence.
    """
    profile = find_profile(settings, wish.profile)
    shares(settings, wish.journey, profile)
    if not wish.crew.alone and profile.ladder() and profile.pause < _PAUSE_OF_A_CREW_S:
        raise UsageError(
            f"{wish.profile}: pause {profile.pause:g} s is too short for several workers, who tell"
            f" their figures once a second; write {_PAUSE_OF_A_CREW_S:g}s or more"
        )
    settings = settings.model_copy(update={"targets": settings.targets_of(profile)})
    context = {"release": wish.release} if wish.release else {}
    if not wish.crew.alone:
        context["workers"] = str(wish.crew.size)
    draft = store.open("load", wish.subject, context)
    load, summary, interruption = _ran(settings, wish, profile, draft, progress, around)
    passed = (one for one in store.list("load", wish.subject) if one.verdict is Verdict.PASS)
    evidence = judge(settings, draft, load, summary, around, next(passed, None))
    if interruption is not None:
        raise interruption
    return evidence


class _Watcher:
    """Passes on how far a run is, and ends it when an incident begins.

    Attributes:
        load: what runs, once it does; None: incidents are not watched for.
        incident: that ended it; "" for none.
        blind: why incidents could not be watched for to the end; "" when they could.
    """

    def __init__(self, draft: EvidenceDraft, progress: Progress, around: Surroundings) -> None:
        self.load: RunningLoad | None = None
        self.incident = self.blind = ""
        self._draft, self._progress, self._around = draft, progress, around

    def __call__(self, line: dict[str, Any]) -> None:
        self._draft.tell(line)
        self._progress(line)
        if self.load is None or self.incident or self.blind:
            return
        try:
            self.incident = self._around.incident_since(self.load.started_at)
        except Exception as error:  # noqa: BLE001 - whatever it is, the load goes on
            self.blind = f"from {line['elapsed_s']:.0f} s on incidents were not seen: {error}"
        if self.incident:
            self.load.interrupt()


def _ran(
    settings: LoadSettings,
    wish: Wish,
    profile: ProfileSettings,
    draft: EvidenceDraft,
    progress: Progress,
    around: Surroundings,
) -> tuple[RunningLoad, dict[str, Any], BaseException | None]:
    """Run the load until it ends, an incident begins, or a person interrupts; with its summary.

    A search for the breaking point makes incidents, and so is not ended by them.
    """
    watcher, interruption = _Watcher(draft, progress, around), None
    asked = (settings, wish.journey, profile, draft.folder, watcher, wish.crew)
    load = start_load(*asked, gives_up=wish.gives_up)
    if wish.gives_up and load.plan.ladder is None:
        watcher.load = load
    try:
        try:
            summary = load.wait()
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error
            summary = load.stop()  # the next one does not wait for journeys under way
    except BaseException:
        load.kill()
        raise
    return load, summary | {"incident": watcher.incident, "blind": watcher.blind}, interruption
