"""Incidents and evidence such as a shop's own desk holds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alerting.incident import Alert
from alerting.incidents import IncidentBook
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore

TOKEN = "a-token-of-the-console-tests"

OWN_PAGE = """---
alert: OurOwn
severity: page
owner_role: senior on-call
---
# Our own

<script>document.title='pwned'</script> and <b>bold</b>

| a | b |
|---|---|
| 1 | 2 |
"""

CHECKOUT = Alert(
    fingerprint="c1",
    labels={"alertname": "CheckoutFailing", "severity": "page", "journey": "checkout"},
    annotations={
        "summary": "The checkout journey fails",
        "runbook": "runbooks/pages/CheckoutFailing.md",
    },
    starts_at="2026-11-22T10:00:00.000Z",
    firing=True,
)
HOSTILE = Alert(
    fingerprint="e0",
    labels={
        "alertname": "Odd<script>document.title='pwned'</script>",
        "severity": "ticket",
        "sku": "<img src=x onerror=\"document.title='pwned'\">",
    },
    annotations={"summary": '<b>not bold</b> & "quoted"'},
    starts_at="2026-11-22T10:05:00.000Z",
    firing=True,
)
REDIS = replace(
    CHECKOUT,
    fingerprint="f2",
    labels={"alertname": "RedisDown", "severity": "page"},
    annotations={"summary": "Redis does not answer", "runbook": "runbooks/pages/RedisDown.md"},
)


@dataclass
class Site:
    """A served console and what is behind it."""

    url: str
    home: Path
    book: IncidentBook
    store: EvidenceStore
    load: Evidence


def fill(book: IncidentBook, store: EvidenceStore) -> Evidence:
    """Keep three incidents and two records; return the record of the load test."""
    book.receive([REDIS, CHECKOUT, HOSTILE])
    book.receive([replace(REDIS, firing=False)])
    drill = store.open("drill", "shop/cloud")
    drill.finish([Measurement("recovery_time_s", 12.5, "s", Target("<=", 7200))])
    draft = store.open("load", "checkout/baseline")
    (draft.folder / "report.html").write_text("<h1>The report</h1>")
    (draft.folder / "experiment").mkdir()
    (draft.folder / "experiment" / "journal.json").write_text("{}")
    return draft.finish(
        [
            Measurement("p95_s", 0.131, "s", Target("<", 0.2)),
            Measurement("error_ratio", 0.02, "ratio", Target("<=", 0.001)),
            Measurement("orders_acknowledged", 321, "orders"),
        ],
        ["lost: <i>order-7</i>"],
        [Verdict.FAIL],
    )


def keep_drills(store: EvidenceStore, results: list[tuple[float | None, float | None]]) -> None:
    """Keep drills of (recovery time, recovery point), and two damaged copies, one not found."""
    for time_s, point_s in results:
        failed = [] if time_s else [Verdict.FAIL]
        store.open("drill", "shop/local").finish(
            [
                Measurement("recovery_time_s", time_s, "s", Target("<=", 7200)),
                Measurement("recovery_point_s", point_s, "s", Target("<=", 1800)),
            ],
            overrides=failed,
        )
    for found in (1, 0):
        sabotage = store.open("sabotage", "shop/local")
        sabotage.finish([Measurement("damage_found", found, "", Target("=", 1))])
    failover = store.open("failover", "primary-killed")
    failover.finish(
        [
            Measurement("time_to_detect_s", 11.2, "s", Target("<=", 30)),
            Measurement("time_to_recover_s", 26.2, "s", Target("<=", 90)),
            Measurement("time_to_redundancy_s", 34.5, "s", Target("<=", 300)),
            Measurement("orders_lost", 0, "orders", Target("=", 0)),
        ]
    )


def keep_launch(store: EvidenceStore) -> None:
    """Keep a load test of a release with its report, and a capacity, comparison and gate of it."""
    for kind, p95_s in (("load", 0.12), ("capacity", None), ("comparison", None), ("gate", None)):
        draft = store.open(kind, "mix/launch", {"release": "4.2.0"})
        if kind != "gate":
            (draft.folder / "report.html").write_text(f"<h1>The {kind}</h1>")
        measured = [Measurement("p95_s", p95_s, "s", Target("<", 0.2))] if p95_s else []
        draft.finish(measured, overrides=[] if measured else [Verdict.PASS])


@contextmanager
def telling(draft: EvidenceDraft, line: dict[str, Any]) -> Iterator[None]:
    """Let a rehearsal say the line again and again while inside, as a running one does."""
    draft.tell(line)
    ending = threading.Event()

    def tell() -> None:
        while not ending.wait(0.5):
            draft.tell(line)

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
