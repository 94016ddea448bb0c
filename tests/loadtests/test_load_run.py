"""Whole runs: generator, ledger against a real PostgreSQL and a provider, verdict, report."""

import json
import math
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
from load_shop import SmallShop, settings_for, whole
from playwright.sync_api import sync_playwright
from pydantic import ValidationError

from loadtests.judging import Surroundings
from loadtests.run import Wish, run_load
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
    marks = percentile_marks(html)
    assert list(marks) == ["0 %", "50 %", "90 %"]  # 80 steps have no 99 %
    share = (marks["90 %"] - marks["0 %"]) / (908 - marks["0 %"])  # of the way to the right edge
    assert share == pytest.approx(1 / math.log10(80), abs=0.01)


def percentile_marks(html: str) -> dict[str, float]:
    """Return what is written at the axis of the percentiles, and where."""
    chart = html.split("Latency by percentile")[1].split("</svg>")[0]
    ticks = re.findall(r'class="tick" x="([\d.]+)"[^>]*>([\d.]+ %)<', chart)
    return {text: float(x) for x, text in ticks}


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


def test_an_unknown_profile_or_journey_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9")
    store = EvidenceStore(tmp_path)
    with pytest.raises(
        UsageError, match=r"no profile 'peak' in loadtests\.profiles; there are: baseline"
    ):
        run_load(settings, Wish("buy", "peak"), store, lambda _line: None)
    with pytest.raises(
        UsageError, match=r"no journey 'fly' in loadtests\.journeys; there are: look, buy, tell"
    ):
        run_load(settings, Wish("fly", "baseline"), store, lambda _line: None)
    assert list(tmp_path.iterdir()) == []


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
    windows: set[tuple[float, float]] = set()

    def ask(_query: str, start: float, end: float, _step: float) -> list[tuple[float, float]]:
        windows.add((start, end))
        return [(start, 0.1), (end, 0.11)]

    around = Surroundings(ask=ask)
    runs = [run_load(settings, Wish("look", "short"), store, lambda _: None, around) for _ in "12"]
    first, second = ((store.folder(one) / "report.html").read_text() for one in runs)
    assert "Beside the run before" not in first
    if runs[0].verdict is Verdict.PASS:
        assert f"The newest that passed: {runs[0].id}" in second
    assert "share of each limit" in first
    assert any(note.startswith("nothing saturated; nearest was") for note in runs[0].notes)
    kept = json.loads((store.folder(runs[0]) / "saturation.json").read_text())
    assert {one["peak"] for one in kept} == {0.11}
    summary = json.loads((store.folder(runs[1]) / "summary.json").read_text())
    assert max(windows) == (summary["began_at"], summary["began_at"] + summary["duration_s"])
    assert summary["began_at"] > runs[1].started_at.timestamp()  # the generator had to start


def test_a_profile_may_have_targets_of_its_own(shop: SmallShop, tmp_path: Path) -> None:
    own = {"p95_s": "< 3", "throughput_per_s.look": ">= 1000"}
    profiles = {"short": {"rate": 10, "warm_up": "200ms", "hold": "1s", "targets": own}}
    settings = whole(shop.url, None, profiles=profiles)
    found = run_load(settings, Wish("look", "short"), EvidenceStore(tmp_path), lambda _: None)
    targets = {one.name: str(one.target) for one in found.measurements if one.target}
    assert targets["p95_s"] == "< 3"
    assert targets["error_ratio"] == "= 0"  # that of all profiles
    assert targets["throughput_per_s.look"] == ">= 1000"


@pytest.mark.parametrize("where", ["targets", "profiles.short.targets"])
def test_a_target_for_nothing_that_is_measured_is_refused_before_the_run(where: str) -> None:
    wrong = {"p95s": "< 1"}
    profiles = {"short": {"rate": 10, "targets": wrong if where.startswith("profiles") else {}}}
    targets = wrong if where == "targets" else {}
    with pytest.raises(ValidationError, match=f"{where}: no measurement 'p95s'; there are: p50_s"):
        whole("http://127.0.0.1:9", None, profiles=profiles, targets=targets)
