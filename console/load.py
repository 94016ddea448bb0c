"""What the page of load tests shows: how far those under way are, and the newest records."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from loadtests.verdict import CPU_LIMIT_RATIO
from storewatch.core.evidence import Evidence
from storewatch.store.evidence import EvidenceStore

_KINDS = ("load", "capacity", "comparison", "gate")
_SHOWN_OF_A_KIND = 20
_REPORT = "report.html"
_BUSY_REFRESH_S, _CALM_REFRESH_S = 2, 10


def load_page(store: EvidenceStore) -> dict[str, Any]:
    """Return what the template draws."""
    under_way = [_progress(line) for line in store.under_way("load")]
    newest = [one for kind in _KINDS for one in store.list(kind, limit=_SHOWN_OF_A_KIND)]
    newest.sort(key=lambda one: one.id, reverse=True)
    return {
        "under_way": sorted(under_way, key=lambda one: str(one["id"])),
        "refresh_s": _BUSY_REFRESH_S if under_way else _CALM_REFRESH_S,
        "cpu_limit_ratio": CPU_LIMIT_RATIO,
        "records": [(one, _report(one)) for one in newest],
    }


def _progress(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run last said of itself, with its share and its times as people read them."""
    planned_s = line["duration_s"]
    elapsed_s = min(line["elapsed_s"], planned_s)
    return {
        **line,
        "share": elapsed_s / planned_s if planned_s else 0.0,
        "elapsed": str(timedelta(seconds=int(elapsed_s))),
        "planned": str(timedelta(seconds=round(planned_s))),
    }


def _report(evidence: Evidence) -> str:
    """Return the address of the report of a record, "" where it has none."""
    if all(artefact.path != _REPORT for artefact in evidence.artefacts):
        return ""
    return f"/evidence/{evidence.id}/files/{_REPORT}"
