"""The proof loop: inject, be told, repair by the runbook, recover, account for every order."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import experiment, lease
from chaos.guard import refusal
from chaos.settings import ChaosSettings, ProofSettings
from storewatch.core import names
from storewatch.core.errors import ChaosError, StorewatchError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.parts import (
    Alerts,
    BackgroundLoad,
    Check,
    Delivery,
    Desk,
    LoadResult,
    LoadStarter,
    Repair,
)
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore

# A journey that succeeds this often in a row has recovered; once may be luck with two instances.
SUCCESSES_IN_A_ROW = 4
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class ProofParts:
    """What a proof works with."""

    store: EvidenceStore
    start_load: LoadStarter
    desk: Desk
    alerts: Alerts
    repair: Repair
    check: Check
    environment: Mapping[str, str]
    fingerprints: Mapping[str, Path]


@dataclass(slots=True)
class _Course:
    """How a proof went; becomes the evidence, whatever happened."""

    say: Callable[[str], None]
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overrides: list[Verdict] = field(default_factory=list)
    detected_s: float | None = None
    recovered_s: float | None = None
    load: LoadResult | None = None

    def mark(self, what: str, at_unix_s: float | None = None) -> None:
        """Put something on the time line and tell the user."""
        self.events.append({"at_unix_s": at_unix_s or time.time(), "what": what})
        self.say(what)

    def fail(self, verdict: Verdict, note: str) -> None:
        """Note what went wrong and what that makes of the proof."""
        self.overrides.append(verdict)
        self.notes.append(note)
        self.mark(note)


def prove(
    name: str,
    proof: ProofSettings,
    settings: ChaosSettings,
    parts: ProofParts,
    say: Callable[[str], None],
) -> Evidence:
    """Run one proof and return its evidence.

    INVALID when the shop was not healthy before the fault, the fault ended by itself or no order
    was placed; FAIL when the alert did not come, the runbook failed, the shop did not recover, the
    fault could not be undone or an order is not accounted for.
    """
    draft = parts.store.open("proof", name)
    course = _Course(say)
    course.notes += [
        f"sha256 of the {what}: {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for what, path in parts.fingerprints.items()
    ]
    load: BackgroundLoad | None = None
    try:
        for fault in lease.sweep():
            course.mark(f"an earlier run left a fault behind, undone: {fault}")
        if reason := refusal(settings, ()) or _await_quiet(proof, settings, parts, course):
            course.fail(Verdict.INVALID, f"not begun: {reason}")
        else:
            load = parts.start_load(_folder(draft, "load"))
            course.mark("load started")
            _turn(proof, settings, parts, draft, course)
            course.load = load.stop()
            load = None
            course.mark("load stopped, ledger reconciled")
    except StorewatchError as error:
        course.fail(Verdict.FAIL, str(error))
    finally:
        if load is not None:
            load.kill()
    return _finish(draft, settings, course)


def _turn(
    proof: ProofSettings,
    settings: ChaosSettings,
    parts: ProofParts,
    draft: EvidenceDraft,
    course: _Course,
) -> None:
    """Inject, detect, repair, recover, undo, and see that all is quiet again."""
    if error := _await_success(parts.check, 30):
        course.fail(Verdict.INVALID, f"not begun: the journey fails before the fault: {error}")
        return
    running = experiment.start(
        proof.experiment, _folder(draft, "experiment"), settings.lease, parts.environment
    )
    try:
        injected_s = running.injected().injected_unix_s
        assert injected_s is not None
        course.mark("fault injected", injected_s)
        _detect_and_repair(proof, settings, parts, draft, course, injected_s)
        if not running.holding():
            course.fail(Verdict.INVALID, "the fault ended by itself, before the proof was over")
    except BaseException:
        _release(running, course)
        raise
    _release(running, course)
    if reason := _await_quiet(proof, settings, parts, course):
        course.fail(Verdict.FAIL, f"not healthy again after the undo: {reason}")


def _release(running: experiment.Experiment, course: _Course) -> None:
    try:
        running.release()
        course.mark("fault undone and seen to be gone")
    except ChaosError as error:
        course.fail(Verdict.FAIL, str(error))


def _detect_and_repair(
    proof: ProofSettings,
    settings: ChaosSettings,
    parts: ProofParts,
    draft: EvidenceDraft,
    course: _Course,
    injected_s: float,
) -> None:
    """Measure how long it takes to be told, then to be well again by the runbook's means."""
    if opened := _await_opened(parts, proof, injected_s, settings.detect_within):
        course.detected_s = opened.opened_unix_s - injected_s
        text = f"{opened.labels['alertname']} delivered to the desk"
        course.mark(f"{text} after {course.detected_s:.1f} s", opened.opened_unix_s)
    else:
        wanted = " ".join(f"{key}={value}" for key, value in proof.alert.items())
        course.fail(Verdict.FAIL, f"no alert {wanted} within {settings.detect_within:g} s")
    course.mark(f"runbook {proof.runbook} started")
    if not parts.repair(_folder(draft, "runbook")):
        course.fail(Verdict.FAIL, f"the runbook {proof.runbook} failed; see runbook/steps.json")
        return
    course.mark(f"runbook {proof.runbook} ended")
    if error := _await_success(parts.check, settings.recover_within):
        course.fail(Verdict.FAIL, f"the journey did not recover: {error}")
        return
    succeeded_s = time.time()
    course.mark("journeys succeed again", succeeded_s)
    resolved_s = _await_resolved(parts, proof, injected_s, settings.recover_within)
    if opened and resolved_s is None:
        course.fail(Verdict.FAIL, f"the alert did not resolve in {settings.recover_within:g} s")
    if resolved_s is None:
        return
    course.mark("alert resolved at the desk", resolved_s)
    course.recovered_s = max(succeeded_s, resolved_s) - injected_s


def _await_opened(
    parts: ProofParts, proof: ProofSettings, since_s: float, within_s: float
) -> Delivery | None:
    """Wait for the first incident of the alert since a moment."""
    deadline = time.monotonic() + within_s
    while not (found := parts.desk.deliveries(proof.alert, since_s)):
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_EVERY_S)
    return found[0]


def _await_resolved(
    parts: ProofParts, proof: ProofSettings, since_s: float, within_s: float
) -> float | None:
    """Wait until every incident of the alert since a moment is over; return when the last was."""
    deadline = time.monotonic() + within_s
    while found := parts.desk.deliveries(proof.alert, since_s):
        ends = [delivery.resolved_unix_s for delivery in found]
        over = [end for end in ends if end is not None]
        if len(over) == len(ends):
            return max(over)
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_EVERY_S)
    return None


def _await_success(check: Check, within_s: float) -> str:
    """Wait for successes in a row; return the last error when they do not come in time."""
    deadline = time.monotonic() + within_s
    in_a_row, error = 0, ""
    while in_a_row < SUCCESSES_IN_A_ROW:
        failed = check()
        in_a_row = 0 if failed else in_a_row + 1
        error = failed or error
        if time.monotonic() > deadline:
            return error or "too slow"
        if failed:
            time.sleep(_LOOK_EVERY_S)
    return ""


def _await_quiet(
    proof: ProofSettings, settings: ChaosSettings, parts: ProofParts, course: _Course
) -> str | None:
    """Wait until nothing fires and the desk has no such incident; return what still is there."""
    deadline = time.monotonic() + settings.quiet_within
    told = False
    while reason := _unquiet(proof, settings, parts):
        if time.monotonic() > deadline:
            return reason
        if not told:
            course.mark(f"waiting for quiet: {reason}")
        told = True
        time.sleep(_LOOK_EVERY_S)
    return None


def _unquiet(proof: ProofSettings, settings: ChaosSettings, parts: ProofParts) -> str | None:
    if reason := refusal(settings, parts.alerts.firing()):
        return reason
    # An incident that is open still would swallow the delivery that is to be timed.
    held = [d for d in parts.desk.deliveries(proof.alert, 0) if d.resolved_unix_s is None]
    return f"the desk has an unresolved incident {held[0].incident}" if held else None


def _folder(draft: EvidenceDraft, name: str) -> Path:
    folder = draft.folder / name
    folder.mkdir()
    return folder


def _finish(draft: EvidenceDraft, settings: ChaosSettings, course: _Course) -> Evidence:
    targets = settings.targets
    found = [
        Measurement(name, value, "s", targets.get(name))
        for name, value in (
            (names.TIME_TO_DETECT_S, course.detected_s),
            (names.TIME_TO_RECOVER_S, course.recovered_s),
        )
    ]
    loaded = course.load.measurements if course.load else ()
    if any(m.name == names.ORDERS_ACKNOWLEDGED and not m.value for m in loaded):
        course.fail(Verdict.INVALID, "no order was acknowledged under load: none could be lost")
    for measurement in loaded:
        target = targets.get(measurement.name)
        found.append(Measurement(measurement.name, measurement.value, measurement.unit, target))
    missing = set(targets) - {measurement.name for measurement in found}
    found += [Measurement(name, None, "", targets[name]) for name in sorted(missing)]
    notes = [*course.notes, *(course.load.notes if course.load else ())]
    (draft.folder / "timeline.json").write_text(json.dumps(course.events, indent=1) + "\n")
    return draft.finish(found, notes, course.overrides)
