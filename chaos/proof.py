"""The proof loop: inject, be told, repair by the runbook, recover, account for every order."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos import experiment, lease
from chaos.course import Course
from chaos.guard import refusal
from chaos.settings import ChaosSettings, ProofSettings
from storewatch.core import names
from storewatch.core.errors import ChaosError, StorewatchError
from storewatch.core.evidence import Evidence
from storewatch.core.parts import (
    Alerts,
    BackgroundLoad,
    Check,
    Delivery,
    Desk,
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
    """What a proof works with; `rejoin` brings back what the repair did without, if anything."""

    store: EvidenceStore
    start_load: LoadStarter
    desk: Desk
    alerts: Alerts
    repair: Repair
    rejoin: Repair | None
    check: Check
    environment: Mapping[str, str]
    fingerprints: Mapping[str, Path]


def prove(
    name: str,
    proof: ProofSettings,
    settings: ChaosSettings,
    parts: ProofParts,
    say: Callable[[str], None],
    kind: str = "proof",
) -> Evidence:
    """Run one proof and return its evidence, of the given kind.

    INVALID when the shop was not healthy before the fault, the fault ended by itself or no order
    was placed; FAIL when the alert did not come, the runbook failed, the shop did not recover, the
    fault could not be undone or an order is not accounted for.
    """
    draft = parts.store.open(kind, name)
    course = Course(say)
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
    targets = dict(settings.targets)
    if parts.rejoin is None:
        targets.pop(names.TIME_TO_REDUNDANCY_S, None)
    return course.finish(draft, targets)


def _turn(
    proof: ProofSettings,
    settings: ChaosSettings,
    parts: ProofParts,
    draft: EvidenceDraft,
    course: Course,
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
        _rejoin(proof, parts, draft, course, injected_s)
        if not running.holding():
            course.fail(Verdict.INVALID, "the fault ended by itself, before the proof was over")
    except BaseException:
        _release(running, course)
        raise
    _release(running, course)
    if reason := _await_quiet(proof, settings, parts, course):
        course.fail(Verdict.FAIL, f"not healthy again after the undo: {reason}")


def _release(running: experiment.Experiment, course: Course) -> None:
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
    course: Course,
    injected_s: float,
) -> None:
    """Measure how long it takes to be told, then to be well again by the runbook's means."""
    if opened := _await_opened(parts, proof, injected_s, settings.detect_within):
        detected_s = course.times[names.TIME_TO_DETECT_S] = opened.opened_unix_s - injected_s
        text = f"{opened.labels['alertname']} delivered to the desk"
        course.mark(f"{text} after {detected_s:.1f} s", opened.opened_unix_s)
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
    course.times[names.TIME_TO_RECOVER_S] = max(succeeded_s, resolved_s) - injected_s


def _rejoin(
    proof: ProofSettings,
    parts: ProofParts,
    draft: EvidenceDraft,
    course: Course,
    injected_s: float,
) -> None:
    """Bring back, under load still, what the repair did without."""
    if parts.rejoin is None or names.TIME_TO_RECOVER_S not in course.times:
        return
    course.mark(f"runbook {proof.rejoin} started")
    if not parts.rejoin(_folder(draft, "rejoin")):
        course.fail(Verdict.FAIL, f"the runbook {proof.rejoin} failed; see rejoin/steps.json")
        return
    redundant_s = course.times[names.TIME_TO_REDUNDANCY_S] = time.time() - injected_s
    course.mark(f"redundant again after {redundant_s:.1f} s")


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
    proof: ProofSettings, settings: ChaosSettings, parts: ProofParts, course: Course
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
