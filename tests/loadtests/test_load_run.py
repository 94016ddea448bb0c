"""Whole runs: generator, ledger against a real PostgreSQL and a provider, verdict, report."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psycopg
import pytest
from load_shop import SmallShop, free_port, profile, settings_for, until
from playwright.sync_api import sync_playwright

from loadtests.run import RunningLoad, run_load, settled
from loadtests.settings import LoadSettings, ReconciliationSettings
from storewatch.core.errors import LoadError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore
from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user

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


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a shop's database: orders, and a number of oversold units."""
    folder = Path(tempfile.mkdtemp(prefix="storewatch-load-", dir="/var/tmp"))
    folder.chmod(0o711)
    programs, user = find_postgres(None, folder / "programs"), unprivileged_user()
    data, port = folder / "data", free_port()
    data.mkdir(mode=0o700)
    own(data, user)
    demoted = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, **demoted, **demote_kwargs(user))
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", ""],
        **demoted,
        **demote_kwargs(user),
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def up() -> bool:
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                connection.execute(
                    "CREATE TABLE orders (id text, key text, state text, cents int,"
                    " created_at timestamptz DEFAULT now());"
                    "CREATE TABLE oversold (units int); INSERT INTO oversold VALUES (0)"
                )
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(up)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


@pytest.fixture
def books(database: str, shop: SmallShop) -> Iterator[dict[str, Any]]:
    """The section `reconciliation` over the shop's books, which the shop keeps as it sells."""
    connection = psycopg.connect(database, autocommit=True)
    connection.execute("TRUNCATE orders; UPDATE oversold SET units = 0")

    def keep(order: dict[str, Any]) -> None:
        connection.execute(
            "INSERT INTO orders (id, key, state, cents) VALUES (%s, %s, 'paid', %s)",
            (order["order_id"], order["idempotency_key"], order["amount_cents"]),
        )

    shop.placed = keep
    yield {
        "database": database,
        "orders_sql": "SELECT id, key, state, cents FROM orders WHERE created_at >= %(since)s",
        "oversold_sql": "SELECT units FROM oversold",
        "payment_ledgers": {"alpha": f"{shop.url}/ledger"},
        "payment_token": "x",
    }
    connection.close()


def whole(url: str, books: dict[str, Any], **more: Any) -> LoadSettings:
    profiles = {"short": {"rate": 20, "warm_up": "500ms", "hold": "2s"}}
    targets = {"p95_s": "< 2", "error_ratio": "= 0", "arrivals_missed": "= 0"}
    return settings_for(
        url, reconciliation=books, **{"profiles": profiles, "targets": targets, **more}
    )


@pytest.fixture
def evidence(shop: SmallShop, books: dict[str, Any], tmp_path: Path) -> Evidence:
    settings = whole(shop.url, books)
    return run_load(settings, "buy", "short", EvidenceStore(tmp_path), lambda _line: None)


def test_a_run_ends_as_evidence_with_its_ledger_and_a_report_that_needs_no_network(
    evidence: Evidence, tmp_path: Path
) -> None:
    reasons = [note for note in evidence.notes if not note.startswith("INVALID")]
    assert reasons == []
    assert evidence.verdict is (Verdict.INVALID if evidence.notes else Verdict.PASS)
    assert {m.name for m in evidence.measurements} >= {*LOAD_NAMES, "p95_s.look", "p95_s.order"}
    assert evidence.value("orders_acknowledged") == 50
    assert evidence.value("orders_lost") == 0
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


def test_planted_losses_and_double_charges_are_found_in_the_real_books(
    shop: SmallShop,
    books: dict[str, Any],
    database: str,
    start: Callable[..., RunningLoad],
) -> None:
    load = start(settings_for(shop.url), "buy", profile(20, "500ms"))
    load.wait()
    settings = ReconciliationSettings.model_validate(books)
    assert settled(load, settings, within_s=0).notes() == []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM orders WHERE id = 'order-1'")
        connection.execute(
            "INSERT INTO orders SELECT 'another', key, state, cents"
            " FROM orders WHERE id = 'order-2'"
        )
        connection.execute("UPDATE orders SET cents = 1 WHERE id = 'order-3'")
        connection.execute("UPDATE oversold SET units = 2")
    shop.captures.append(dict(shop.captures[4]))
    shop.captures.append({**shop.captures[5], "state": "voided"})
    found = settled(load, settings, within_s=0)
    assert found.lost == ("order-1",)
    assert found.duplicated == (shop.captures[2]["idempotency_key"],)
    assert found.wrong_amount == ("order-3",)
    assert found.double_charged == ("order-4",)
    assert found.oversold_units == 2


def test_books_that_settle_a_moment_later_are_no_loss(
    shop: SmallShop,
    books: dict[str, Any],
    start: Callable[..., RunningLoad],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = start(settings_for(shop.url), "buy", profile(20, "200ms"))
    load.wait()
    late = shop.captures.pop()
    looks: list[int] = []
    reconcile = RunningLoad.reconcile

    def capture_after_the_second_look(self: RunningLoad, settings: ReconciliationSettings) -> Any:
        looks.append(1)
        if len(looks) == 3:
            shop.captures.append(late)
        return reconcile(self, settings)

    monkeypatch.setattr(RunningLoad, "reconcile", capture_after_the_second_look)
    settings = ReconciliationSettings.model_validate(books)
    assert settled(load, settings).notes() == []
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": "postgresql://nobody@127.0.0.1:1/x"}, "the shop's orders cannot be read"),
        ({"orders_sql": "SELECT nothing"}, "the shop's orders cannot be read"),
        ({"orders_sql": "SELECT 1 WHERE %(since)s > '2000-01-01'::timestamptz"}, "must return"),
        ({"oversold_sql": "SELECT sum(units) FROM oversold WHERE false"}, "one number"),
        ({"oversold_sql": "SELECT units FROM oversold WHERE false"}, "one number"),
        ({"payment_ledgers": {"alpha": "http://127.0.0.1:9/"}}, "provider alpha cannot be read"),
        ({"payment_ledgers": "broken"}, "provider beta cannot be read"),
    ],
)
def test_books_that_cannot_be_read_are_an_error_and_no_pass(
    shop: SmallShop,
    books: dict[str, Any],
    start: Callable[..., RunningLoad],
    change: dict[str, Any],
    said: str,
) -> None:
    load = start(
        settings_for(shop.url).model_copy(update={"journeys": {"x": "a:b"}}), "x", profile(1, "1s")
    )
    load.kill()
    if change == {"payment_ledgers": "broken"}:
        change = {"payment_ledgers": {"alpha": f"{shop.url}/ledger", "beta": f"{shop.url}/beta"}}
    with pytest.raises(LoadError, match=said):
        load.reconcile(ReconciliationSettings.model_validate({**books, **change}))


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
