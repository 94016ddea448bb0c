"""Read a load run back, and turn what it says of the shop's capacity into evidence."""

import json
from dataclasses import replace
from pathlib import Path

from loadtests import sizing
from loadtests.capacity import Capacity, capacity, loads
from loadtests.capacity_report import conclusions, measurements, render
from loadtests.plan import Plan
from loadtests.sizing import Assumptions, Sizing
from loadtests.usl import MINIMUM_LOADS
from storewatch.core.errors import LoadError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import sha256_file, write_atomic

_NEEDED = "a run of a profile of shape steps or breakpoint"


def run_capacity(
    store: EvidenceStore,
    identifier: str | None,
    assumed: Assumptions,
    orders_per_s: float | None = None,
) -> Evidence:
    """Return the capacity of the shop by a load run, as evidence with a report.

    Args:
        store: holds the load run, and takes the evidence.
        identifier: of the load run; None: the newest with enough steps.
        assumed: what is taken for granted.
        orders_per_s: how many orders per second the instances are asked for.

    Raises:
        UsageError: there is no such run, or its orders per visit are not known.
        LoadError: the run's files are gone, were altered, or are of an older form.
    """
    load, plan = _chosen(store, identifier)
    found = _capacity(store, load, plan)
    assumed = replace(assumed, order_ratio=assumed.order_ratio or found.order_ratio or None)
    sizings = _sizings(found, assumed, orders_per_s)
    release = {"release": load.context["release"]} if "release" in load.context else {}
    context = {"load": load.id, "instances": assumed.instances, **release}
    draft = store.open("capacity", load.subject, context)
    notes, verdicts = conclusions(found, sizings, orders_per_s)
    assumptions = sizing.sentences(assumed, found.response_s, found.requests_per_visit or 1.0)
    measured = measurements(found, sizings, orders_per_s)
    preview = draft.preview(measured, [*notes, *assumptions], verdicts or [Verdict.PASS])
    page = render(preview, found, sizings, assumed.order_ratio, notes, assumptions)
    write_atomic(draft.folder / "report.html", page.encode())
    return draft.finish(preview.measurements, preview.notes, preview.overrides)


def _capacity(store: EvidenceStore, load: Evidence, plan: Plan) -> Capacity:
    summary = json.loads(_artefact(store, load, "summary.json"))
    try:
        return capacity(summary, plan)
    except KeyError as error:
        raise LoadError(
            f"{load.id}: summary.json says no {error}: it is of an older form; repeat the load test"
        ) from None


def _chosen(store: EvidenceStore, identifier: str | None) -> tuple[Evidence, Plan]:
    """Return the load run and its plan."""
    if identifier is not None:
        load = store.get(identifier)
        if load.kind != "load":
            raise UsageError(f"{identifier} is evidence of a {load.kind}; name {_NEEDED}")
        return load, _plan(store, load)
    for load in store.list("load"):
        if (store.folder(load) / "plan.json").exists():
            plan = _plan(store, load)
            if loads(plan) >= MINIMUM_LOADS:
                return load, plan
    raise UsageError(
        f"no load test has {MINIMUM_LOADS} steps; make {_NEEDED}:"
        " storewatch load run --profile NAME"
    )


def _plan(store: EvidenceStore, load: Evidence) -> Plan:
    text = _artefact(store, load, "plan.json")
    try:
        plan = Plan.from_json(json.loads(text))
    except (KeyError, TypeError) as error:
        raise LoadError(
            f"{load.id}: plan.json is of an older form ({error}); repeat the load test"
        ) from None
    if plan.ladder is None:
        return plan
    return plan.ran(json.loads(_artefact(store, load, "summary.json"))["stages"])


def _artefact(store: EvidenceStore, load: Evidence, name: str) -> str:
    """Return the text of an artefact that is as it was when the run ended."""
    path: Path = store.folder(load) / name
    recorded = next((one.sha256 for one in load.artefacts if one.path == name), None)
    if recorded is None or not path.exists():
        raise LoadError(f"{load.id}: {name} is missing beside the evidence; repeat the load test")
    if sha256_file(path) != recorded:
        raise LoadError(
            f"{load.id}: {name} was altered after the run: its SHA-256 is not the"
            f" {recorded[:12]}... of the evidence; repeat the load test"
        )
    return path.read_text()


def _sizings(
    found: Capacity, assumed: Assumptions, orders_per_s: float | None
) -> dict[str, Sizing]:
    """Return the instances by what is asked: the orders, then the shoppers at once."""
    wanted: dict[str, float] = {}
    if orders_per_s is not None:
        if not assumed.order_ratio:
            raise UsageError(
                "the run acknowledged no order, so orders say nothing of visits; give the orders"
                " for each visit, such as --order-ratio 0.05"
            )
        wanted[f"{orders_per_s:g} orders/s"] = orders_per_s / assumed.order_ratio
    if found.planned_per_s is None:
        return {}
    think_s, per_visit = assumed.think_time_s, found.requests_per_visit
    for shoppers in sizing.SHOPPERS:
        per_s = sizing.visits_of(shoppers, found.response_s, think_s, per_visit)
        wanted[f"{shoppers:,} shoppers"] = per_s
    return {
        name: sizing.size(per_s, found.planned_per_s, found.best_per_s, assumed)
        for name, per_s in wanted.items()
    }
