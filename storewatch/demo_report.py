"""The report of a demo: what happened on one time line, every target beside its measurement."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.pages import Curve, Span, page_environment
from storewatch.store.evidence import EvidenceStore
from storewatch.store.prometheus_api import range_query

_STEP_S = 5


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the demo; without evidence, `error` says what broke it off."""

    title: str
    begun_unix_s: float
    ended_unix_s: float
    evidence: Evidence | None
    error: str

    @property
    def verdict(self) -> Verdict:
        """The verdict of its evidence; FAIL without any."""
        return self.evidence.verdict if self.evidence else Verdict.FAIL


# What is drawn: (title, unit, bound or None, curves as (label, colour, PromQL)).
_LATENCY = "storewatch_edge_request_duration_seconds_bucket"
CHARTS: tuple[tuple[str, str, float | None, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Requests at the edge",
        "",
        None,
        (
            ("requests/s", "line", "sum(rate(storewatch_edge_requests_total[20s]))"),
            (
                "answered 5xx/s",
                "bad",
                'sum(rate(storewatch_edge_requests_total{status=~"5.."}[20s])) or vector(0)',
            ),
        ),
    ),
    (
        "Response time at the edge",
        "s",
        0.2,
        (
            ("p50", "good", f"histogram_quantile(0.5, sum by (le) (rate({_LATENCY}[20s])))"),
            ("p95", "line", f"histogram_quantile(0.95, sum by (le) (rate({_LATENCY}[20s])))"),
        ),
    ),
    (
        "Journeys that succeed",
        "ratio",
        None,
        (
            ("checkout", "good", 'storewatch_journey_success{journey="checkout"}'),
            ("browse", "violet", 'storewatch_journey_success{journey="browse"}'),
        ),
    ),
    (
        "Orders placed",
        "",
        None,
        (("orders/s", "line", "rate(storewatch_orders_placed_total[20s])"),),
    ),
)


def render(
    evidence: Evidence,
    chapters: Sequence[Chapter],
    store: EvidenceStore,
    prometheus: str,
    started_unix_s: float,
) -> str:
    """Return the report as HTML; it opens without a network.

    Args:
        evidence: of the demo.
        chapters: in their order.
        store: where the chapters' evidence lies.
        prometheus: address to ask for the curves.
        started_unix_s: where the time line begins.
    """
    spans = _spans(chapters, store, started_unix_s)
    charts = [
        {
            "title": title,
            "unit": unit,
            "bound": bound,
            "spans": spans,
            "curves": [
                Curve(label, color, _points(prometheus, query, started_unix_s))
                for label, color, query in wanted
            ],
        }
        for title, unit, bound, wanted in CHARTS
    ]
    environment = page_environment(Path(__file__).parent / "templates")
    return environment.get_template("demo.html").render(
        evidence=evidence,
        chapters=chapters,
        charts=charts,
        x_range=(0.0, chapters[-1].ended_unix_s - started_unix_s),
        events=_events(chapters, store, started_unix_s),
        started_unix_s=started_unix_s,
        links=[_link(chapter) for chapter in chapters],
    )


def _link(chapter: Chapter) -> str | None:
    """Return where a chapter's record lies, seen from the demo's folder."""
    if chapter.evidence is None:
        return None
    folder = f"../../{chapter.evidence.kind}/{chapter.evidence.id}"
    names = {artefact.path for artefact in chapter.evidence.artefacts}
    return f"{folder}/{'report.html' if 'report.html' in names else 'evidence.json'}"


def _points(prometheus: str, query: str, start: float) -> list[tuple[float, float | None]]:
    found = range_query(prometheus, query, start, time.time(), _STEP_S)
    by_moment = {round(moment - start): value for moment, value in found}
    last = max(by_moment, default=0)
    return [(x, by_moment.get(x)) for x in range(0, last + 1, _STEP_S)]


def _timeline(chapter: Chapter, store: EvidenceStore) -> list[dict[str, Any]]:
    if chapter.evidence is None or chapter.evidence.kind != "proof":
        return []
    path = store.folder(chapter.evidence) / "timeline.json"
    return list(json.loads(path.read_text()))


def _spans(chapters: Sequence[Chapter], store: EvidenceStore, start: float) -> list[Span]:
    spans = []
    for chapter in chapters:
        held = {event["what"]: event["at_unix_s"] for event in _timeline(chapter, store)}
        if "fault injected" in held:
            end = held.get("fault undone and seen to be gone", chapter.ended_unix_s)
            name = chapter.title.removeprefix("proof: ")
            spans.append(Span(name, held["fault injected"] - start, end - start))
        elif chapter.evidence is not None and chapter.evidence.kind != "proof":
            name = chapter.title.split(":")[0]
            spans.append(
                Span(name, chapter.begun_unix_s - start, chapter.ended_unix_s - start, "calm")
            )
    return spans


def _events(
    chapters: Sequence[Chapter], store: EvidenceStore, start: float
) -> list[tuple[float, str, str]]:
    events = []
    for chapter in chapters:
        events.append((chapter.begun_unix_s - start, chapter.title, "begins"))
        events += [
            (event["at_unix_s"] - start, chapter.title, event["what"])
            for event in sorted(_timeline(chapter, store), key=lambda e: float(e["at_unix_s"]))
        ]
        events.append((chapter.ended_unix_s - start, chapter.title, f"ends: {chapter.verdict}"))
    return events
