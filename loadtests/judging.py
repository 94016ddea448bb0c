"""From what a load recorded to evidence: orders, resources, verdict, report."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loadtests import junit, report, verdict
from loadtests.ledger import Reconciliation
from loadtests.process import RunningLoad
from loadtests.saturation import Ask, Saturation, said, saturation
from loadtests.settings import LoadSettings, ReconciliationSettings
from storewatch.core.errors import LoadError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceDraft
from storewatch.store.files import write_atomic


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


def judge(
    settings: LoadSettings,
    draft: EvidenceDraft,
    load: RunningLoad,
    summary: dict[str, Any],
    around: Surroundings,
    before: Evidence | None,
) -> Evidence:
    """Judge what a load recorded, write its report beside it, and return the evidence.

    Args:
        settings: the section `loadtests`, with the targets of the profile.
        draft: of the evidence; its folder has what the generator wrote.
        load: as it ended.
        summary: what was recorded, and what else ended it (`incident`, `blind`).
        around: what else is known of the shop.
        before: the newest run of the same that passed, to show beside it.
    """
    planned_s = load.plan.duration_s
    load.plan = plan = load.plan.ran(summary["stages"])
    distrust = verdict.reason_cut_short(summary, planned_s) + verdict.reasons_to_distrust(summary)
    failures = verdict.failures(summary, plan, settings.targets)
    overrides = verdict.overrides(distrust)
    if failures or summary["aborted"]:
        overrides.append(Verdict.FAIL)
    business, accounted, missing = _accounted(load, settings.reconciliation)
    filled = _filled(settings, around, summary)
    notes = [*distrust, *failures, *verdict.remarks(summary, plan), *accounted]
    notes += [line for line in (summary["blind"], said(filled)) if line]
    overrides += missing
    found = verdict.measurements(summary, plan, settings.targets, business)
    text = json.dumps([one.to_json() for one in filled], indent=1) + "\n"
    write_atomic(draft.folder / "saturation.json", text.encode())
    preview = draft.preview(found, notes, overrides)
    html = report.render(preview, plan, summary, filled, before)
    write_atomic(draft.folder / "report.html", html.encode())
    write_atomic(draft.folder / "junit.xml", junit.render(preview))
    return draft.finish(found, notes, overrides)


def _accounted(
    load: RunningLoad, settings: ReconciliationSettings | None
) -> tuple[list[Measurement], list[str], list[Verdict]]:
    """Return what became of the orders, in numbers and in words, and the verdict of no answer.

    Hours of load are not lost because the shop's books cannot be read at their end.
    """
    if settings is None:
        return [], [], []
    try:
        books = settled(load, settings)
    except LoadError as error:
        said = f"{Verdict.INCONCLUSIVE}: the orders are not accounted for: {error}"
        return [], [said], [Verdict.INCONCLUSIVE]
    return books.measurements(), books.notes(), []


def _filled(
    settings: LoadSettings, around: Surroundings, summary: dict[str, Any]
) -> list[Saturation]:
    """Return what the shop's resources did meanwhile; nothing without a Prometheus."""
    if around.ask is None:
        return []
    began, took_s = summary["began_at"], summary["duration_s"]
    return saturation(settings.saturation, around.ask, began, began + took_s)


def settled(
    load: RunningLoad, settings: ReconciliationSettings, within_s: float = 10
) -> Reconciliation:
    """Reconcile; what is still under way in the shop gets a moment to settle before it counts."""
    deadline = time.monotonic() + within_s
    while (books := load.reconcile(settings)).notes() and time.monotonic() < deadline:
        time.sleep(0.5)
    return books
