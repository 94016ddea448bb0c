"""Whole runs: generator, ledger against a real PostgreSQL and a provider, verdict, report."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from load_shop import SmallShop, settings_for
from playwright.sync_api import sync_playwright

from loadtests.process import RunningLoad
from loadtests.run import Surroundings, Wish, run_load
from loadtests.settings import LoadSettings
from storewatch.core.clock import utc_now
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

LOAD_NAMES = {
    "p50_s",
    "p95_s",
    "p99_s",
    "error_ratio",
    "requests",
    "arrivals_missed",
    "generator_cpu_ratio",
    "orders_acknowledged",
    "orders_lost",
    "orders_duplicated",
    "double_charges",
    "oversold_units",
}


def whole(url: str, books: dict[str, Any] | None, **more: Any) -> LoadSettings:
    profiles = {"short": {"rate": 20, "warm_up": "500ms", "hold": "2s"}}
    targets = {"p95_s": "< 2", "error_ratio": "= 0", "arrivals_missed": "= 0"}
    return settings_for(
        url, reconciliation=books, **{"profiles": profiles, "targets": targets, **more}
    )


@pytest.fixture
def evidence(shop: SmallShop, books: dict[str, Any], tmp_path: Path) -> Evidence:
    settings = whole(shop.url, books)
    store = EvidenceStore(tmp_path)
    return run_load(settings, Wish("buy", "short", "4.2.0"), store, lambda _line: None)


def test_a_run_ends_as_evidence_with_its_ledger_and_a_report_that_needs_no_network(
    evidence: Evidence, tmp_path: Path
) -> None:
    reasons = [note for note in evidence.notes if not note.startswith("INVALID")]
    assert reasons == []
    assert evidence.verdict is (Verdict.INVALID if evidence.notes else Verdict.PASS)
    assert {m.name for m in evidence.measurements} >= {*LOAD_NAMES, "p95_s.look", "p95_s.order"}
    assert evidence.value("orders_acknowledged") == 50
    assert evidence.value("orders_lost") == 0
    assert evidence.context["release"] == "4.2.0"
    assert {artefact.path for artefact in evidence.artefacts} >= {
        "generator.log",
        "ledger.jsonl",
        "plan.json",
        "report.html",
        "summary.json",
    }
    report = EvidenceStore(tmp_path).folder(evidence) / "report.html"
    html = report.read_text()
    assert resources(html) == []
    assert str(evidence.verdict) in html
    asked, complaints, shown = look_at(report)
    assert asked == [report.as_uri()]
    assert complaints == []
    for text in (f"buy/short {evidence.verdict}", "p95_s.order", "< 2.0 s", "orders_lost", "p99"):
        assert text in shown
    assert html.count("<svg") == 3
    assert percentile_marks(html) == ["0 %", "50 %", "90 %"]  # 100 steps have no 99 %


def percentile_marks(html: str) -> list[str]:
    """Return what is written at the axis of the percentiles, from left to right."""
    chart = html.split("Latency by percentile")[1].split("</svg>")[0]
    ticks = re.findall(r'class="tick" x="([\d.]+)"[^>]*>([\d.]+ %)<', chart)
    assert [float(x) for x, _ in ticks] == sorted(float(x) for x, _ in ticks)
    return [text for _, text in ticks]


class _Resources(HTMLParser):
    """Collects what a browser would fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "srcset", "action", "xlink:href"} or (name, tag) == ("href", "link"):
                self.found.append(f"{tag} {name}={value}")
        if tag == "script":
            self.found.append("script")


def resources(html: str) -> list[str]:
    parser = _Resources()
    parser.feed(html)
    return parser.found + re.findall(r"url\([^)]*\)|@import[^;]*", html)


def look_at(report: Path) -> tuple[list[str], list[str], str]:
    """Return what Chromium asked for, what it complained of, and what a person reads."""
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        shown = page.inner_text("body")
        browser.close()
    return asked, complaints, shown


def test_a_generator_that_is_ended_from_outside_makes_the_run_invalid(
    shop: SmallShop, books: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunningLoad, "wait", RunningLoad.stop)
    settings = whole(shop.url, books, profiles={"long": {"rate": 20, "hold": "1h"}})
    evidence = run_load(settings, Wish("buy", "long"), EvidenceStore(tmp_path), lambda _line: None)
    assert evidence.verdict is Verdict.INVALID
    assert any("the run ended after" in note for note in evidence.notes)


def test_a_person_who_interrupts_ends_the_generator(
    shop: SmallShop, books: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[RunningLoad] = []

    def interrupt(self: RunningLoad) -> None:
        loads.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunningLoad, "wait", interrupt)
    store = EvidenceStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_load(whole(shop.url, books), Wish("buy", "short"), store, lambda _line: None)
    assert all(one.poll() is not None for one in loads[0]._processes)
    assert store.list() == []


def test_an_unknown_profile_or_journey_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9")
    store = EvidenceStore(tmp_path)
    with pytest.raises(
        UsageError, match=r"no profile 'peak' in loadtests\.profiles; there are: baseline"
    ):
        run_load(settings, Wish("buy", "peak"), store, lambda _line: None)
    with pytest.raises(
        UsageError, match=r"no journey 'fly' in loadtests\.journeys; there are: look, buy"
    ):
        run_load(settings, Wish("fly", "baseline"), store, lambda _line: None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_given_up_once_a_target_is_out_of_reach(shop: SmallShop, tmp_path: Path) -> None:
    profiles = {"long": {"rate": 10, "warm_up": "500ms", "hold": "10m"}}
    settings = whole(shop.url, None, profiles=profiles, targets={"error_ratio": "< 0.001"})
    store = EvidenceStore(tmp_path)
    evidence = run_load(settings, Wish("mixed", "long"), store, lambda _line: None)
    assert evidence.verdict is Verdict.FAIL
    (note,) = (note for note in evidence.notes if note.startswith("given up after"))
    assert "error_ratio < 0.001 is out of reach: it will be" in note
    assert evidence.duration_s < 60


def test_a_run_is_ended_when_an_incident_begins(shop: SmallShop, tmp_path: Path) -> None:
    profiles = {"long": {"rate": 10, "warm_up": "500ms", "hold": "10m"}}
    settings = whole(shop.url, None, profiles=profiles)
    evidence = run_load(
        settings,
        Wish("look", "long"),
        EvidenceStore(tmp_path),
        lambda _line: None,
        Surroundings(lambda moment: "ShopDown (it does not answer)" if moment < utc_now() else ""),
    )
    assert evidence.verdict is Verdict.INVALID
    # First, whatever a busy machine adds.
    ended = "INVALID: ended, because an incident began: ShopDown (it does not answer)"
    assert evidence.notes[0] == ended
    assert evidence.duration_s < 60


def test_asked_to_go_to_the_end_it_does(shop: SmallShop, tmp_path: Path) -> None:
    profiles = {"short": {"rate": 10, "warm_up": "500ms", "hold": "11s"}}
    settings = whole(shop.url, None, profiles=profiles, targets={"error_ratio": "= 0"})
    evidence = run_load(
        settings,
        Wish("mixed", "short", gives_up=False),
        EvidenceStore(tmp_path),
        lambda _line: None,
        Surroundings(lambda _moment: "ShopDown"),
    )
    assert evidence.verdict is Verdict.FAIL
    assert evidence.duration_s > 11
    assert [note for note in evidence.notes if "given up" in note or "incident" in note] == []


def test_other_tools_read_the_verdict_and_the_latency(evidence: Evidence, tmp_path: Path) -> None:
    folder = EvidenceStore(tmp_path).folder(evidence)
    (suite,) = ElementTree.parse(folder / "junit.xml").getroot()  # noqa: S314 - it is ours
    assert suite.attrib["name"] == "load buy/short"
    cases = {case.attrib["name"]: [child.tag for child in case] for case in suite}
    judged = [m.name for m in evidence.measurements if m.target is not None]
    assert sorted(cases) == sorted(["verdict", *judged])
    assert int(suite.attrib["tests"]) == len(cases)
    assert cases["error_ratio"] == []
    reader = HistogramLogReader(str(folder / "latency.hlog"), HdrHistogram(1, 600_000_000, 3))
    histogram = reader.get_next_interval_histogram()
    assert histogram is not None
    summary = json.loads((folder / "summary.json").read_text())
    (window,) = summary["windows"]  # of whole seconds that count
    assert histogram.get_total_count() == window["count"] == 60
    p95_us = histogram.get_value_at_percentile(95)
    assert p95_us / 1e6 == pytest.approx(window["p95_s"], rel=0.001)


def test_while_it_runs_it_says_how_far_it_is_and_afterwards_nothing_is_left(
    shop: SmallShop, tmp_path: Path
) -> None:
    store, seen = EvidenceStore(tmp_path), list[dict[str, Any]]()
    settings = whole(shop.url, None)
    run_load(settings, Wish("look", "short"), store, lambda _: seen.extend(store.under_way("load")))
    assert seen[0]["subject"] == "look/short"
    assert {"p95_s", "stage", "asked_per_s", "requests_per_s"} <= set(seen[0])
    assert list(store.under_way("load")) == []
    assert not list(tmp_path.rglob("*progress*"))


def test_the_report_shows_the_run_before_and_what_filled_up(
    shop: SmallShop, tmp_path: Path
) -> None:
    store = EvidenceStore(tmp_path)
    settings = whole(shop.url, None)
    around = Surroundings(ask=lambda _query, start, end, _step: [(start, 0.1), (end, 0.11)])
    runs = [run_load(settings, Wish("look", "short"), store, lambda _: None, around) for _ in "12"]
    first, second = ((store.folder(one) / "report.html").read_text() for one in runs)
    assert "Beside the run before" not in first
    if runs[0].verdict is Verdict.PASS:
        assert f"The newest that passed: {runs[0].id}" in second
    assert "share of each limit" in first
    assert any(note.startswith("nothing saturated; nearest was") for note in runs[0].notes)
    kept = json.loads((store.folder(runs[0]) / "saturation.json").read_text())
    assert {one["peak"] for one in kept} == {0.11}
