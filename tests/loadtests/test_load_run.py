"""Whole runs: generator, ledger against a real PostgreSQL and a provider, verdict, report."""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from load_shop import SmallShop, settings_for
from playwright.sync_api import sync_playwright

from loadtests.run import RunningLoad, run_load
from loadtests.settings import LoadSettings
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


def whole(url: str, books: dict[str, Any], **more: Any) -> LoadSettings:
    profiles = {"short": {"rate": 20, "warm_up": "500ms", "hold": "2s"}}
    targets = {"p95_s": "< 2", "error_ratio": "= 0", "arrivals_missed": "= 0"}
    return settings_for(
        url, reconciliation=books, **{"profiles": profiles, "targets": targets, **more}
    )


@pytest.fixture
def evidence(shop: SmallShop, books: dict[str, Any], tmp_path: Path) -> Evidence:
    settings = whole(shop.url, books)
    store = EvidenceStore(tmp_path)
    return run_load(settings, "buy", "short", store, lambda _line: None, release="4.2.0")


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
    evidence = run_load(settings, "buy", "long", EvidenceStore(tmp_path), lambda _line: None)
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
        run_load(whole(shop.url, books), "buy", "short", store, lambda _line: None)
    assert loads[0]._process.poll() is not None
    assert store.list() == []


def test_an_unknown_profile_or_journey_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9")
    store = EvidenceStore(tmp_path)
    with pytest.raises(
        UsageError, match=r"no profile 'peak' in loadtests\.profiles; there are: baseline"
    ):
        run_load(settings, "buy", "peak", store, lambda _line: None)
    with pytest.raises(
        UsageError, match=r"no journey 'fly' in loadtests\.journeys; there are: look, buy"
    ):
        run_load(settings, "fly", "baseline", store, lambda _line: None)
    assert list(tmp_path.iterdir()) == []
