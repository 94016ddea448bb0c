"""The pages as a person sees them: in Chromium."""

from collections.abc import Callable, Iterator

import pytest
from console_data import Site, keep_drills, keep_launch, telling
from load_progress import SAID
from playwright.sync_api import Browser, Page

Visit = Callable[[str], Page]


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Visit]:
    """Open pages; whatever the browser complains of, or fetches from elsewhere, fails the test."""
    page = browser.new_page()
    complaints: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on(
        "request",
        lambda request: request.url.startswith(site.url) or elsewhere.append(request.url),
    )

    def go(path: str) -> Page:
        answer = page.goto(f"{site.url}{path}")
        assert answer is not None
        assert answer.status == 200, answer.text()
        return page

    yield go
    page.close()
    assert complaints == []
    assert elsewhere == []


def test_the_overview_shows_what_is_wrong_and_the_last_rehearsals(visit: Visit) -> None:
    page = visit("/")
    assert page.title() == "tea-house: 2 open"
    assert page.inner_text("h1") == "2 unresolved incidents"
    incidents, rehearsals = page.locator("table").all()
    assert "CheckoutFailing" in incidents.inner_text()
    assert "The checkout journey fails" in incidents.inner_text()
    assert "RedisDown" not in incidents.inner_text()
    rows = [row.inner_text().split("\t")[:3] for row in rehearsals.locator("tr").all()[1:]]
    assert rows == [["PASS", "drill", "shop/cloud"], ["FAIL", "load", "checkout/baseline"]]
    assert page.get_by_role("link", name="Prometheus").get_attribute("href") == (
        "http://127.0.0.1:9090"
    )


def test_a_quiet_shop_says_so(visit: Visit, site: Site) -> None:
    for incident in site.book.list(unresolved_only=True):
        site.book.resolve(incident.id, "kim")
    page = visit("/")
    assert page.inner_text("h1") == "All quiet"
    assert page.title() == "tea-house: all quiet"


def test_a_person_clicks_from_the_overview_to_the_runbook(visit: Visit) -> None:
    page = visit("/")
    page.get_by_role("link", name="CheckoutFailing").click()
    assert page.inner_text("h1").startswith("CheckoutFailing")
    assert "journey=checkout" in page.inner_text("main")
    (line,) = (row.inner_text() for row in page.locator("table").first.locator("tr").all()[1:])
    assert "opened" in line
    assert "The checkout journey fails" in line
    assert "storewatch runbook run CheckoutFailing" in page.inner_text("main")
    page.locator("main").get_by_role("link", name="CheckoutFailing").click()
    assert page.url.endswith("/runbooks/CheckoutFailing")
    text = page.inner_text("main")
    for section in ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verify", "Escalate"):
        assert section in text
    assert "owner_role" not in text  # front matter is for programs


def test_all_incidents_are_listed_the_resolved_ones_too(visit: Visit) -> None:
    text = visit("/incidents").inner_text("main")
    assert text.count("open") >= 2
    assert "RedisDown" in text
    assert "resolved" in text


def test_labels_are_text_whatever_they_contain(visit: Visit, site: Site) -> None:
    (hostile,) = (one for one in site.book.list() if one.alert.startswith("Odd"))
    for path in ("/", "/incidents", f"/incidents/{hostile.id}"):
        page = visit(path)
        assert "Odd<script>document.title='pwned'</script>" in page.inner_text("body")
        assert '<b>not bold</b> & "quoted"' in page.inner_text("body")
        assert page.title() != "pwned"
        assert page.locator("script, main img, main b").count() == 0
    assert "sku=<img src=x" in page.inner_text("main")
    assert "storewatch runbook run" not in page.inner_text("main")  # it has no runbook


def test_evidence_shows_measurements_targets_notes_and_artefacts(visit: Visit, site: Site) -> None:
    page = visit("/evidence")
    page.get_by_role("link", name="checkout/baseline").click()
    assert page.inner_text("h1") == "load checkout/baseline FAIL"
    measurements = [
        row.inner_text().split("\t") for row in page.locator("table").first.locator("tr").all()
    ]
    assert measurements[1] == ["p95_s", "131 ms", "< 200 ms", "PASS"]
    assert measurements[2][0::3] == ["error_ratio", "FAIL"]
    assert "lost: <i>order-7</i>" in page.inner_text("main")
    page.get_by_role("link", name="report.html").click()
    assert page.inner_text("h1") == "The report"
    assert page.url.endswith(f"/evidence/{site.load.id}/files/report.html")


def test_every_runbook_has_a_page_that_shows(visit: Visit) -> None:
    page = visit("/runbooks")
    paths = [link.get_attribute("href") for link in page.locator("main a").all()]
    assert "/runbooks/DatabasePrimaryDown" in paths
    for path in paths[:3]:
        assert visit(str(path)).locator("main h2").count() >= 6


def test_raw_html_in_a_runbook_is_text(visit: Visit) -> None:
    page = visit("/runbooks/OurOwn")
    assert "<script>document.title='pwned'</script>" in page.inner_text("main")
    assert page.locator("script, main b").count() == 0
    assert page.locator("main table td").first.inner_text() == "1"


def test_an_empty_house_has_pages_too(visit: Visit, site: Site) -> None:
    for path in (site.home / "evidence").rglob("evidence.json"):
        path.unlink()
    assert "Nothing was rehearsed yet" in visit("/").inner_text("main")
    assert "Nothing was rehearsed yet" in visit("/evidence").inner_text("main")
    assert "No drill was run" in visit("/drills").inner_text("main")
    assert "No fail-over was drilled" in visit("/drills").inner_text("main")
    assert "No load test was run" in visit("/load").inner_text("main")


def test_the_page_of_drills_shows_the_trend_beside_the_targets(visit: Visit, site: Site) -> None:
    keep_drills(site.store, [(30.0, 900.0)] * 19 + [(None, None)])
    page = visit("/")
    page.get_by_role("navigation").get_by_role("link", name="drills").click()
    assert page.inner_text("h1") == "Drills"
    text = page.inner_text("main")
    assert "20 of 21 passed (95.2 %); with 95 % confidence more than 79.3 % do" in text
    assert "Average recovery time: 29.1 s" in text
    assert "Damaged copies that a drill found: 1 of 2" in text
    headings = [one.inner_text() for one in page.locator("main h2").all()]
    assert headings == ["Recovery time", "Recovery point", "Success", "The newest 21", "Fail-overs"]
    captions = [one.inner_text() for one in page.locator("main figcaption").all()]
    assert "target 2 h" in captions[0]
    assert "target 30 min" in captions[1]
    drawn = [one.locator(".bound").count() for one in page.locator("main svg").all()]
    assert drawn == [0, 1, 1]  # two hours are far above half a minute
    for line in page.locator("main svg .line").all():
        assert (line.bounding_box() or {})["width"] > 0
    failover = page.locator("main table").last.locator("tr").last.inner_text().split("\t")
    assert [failover[0], failover[1], *failover[3:]] == [
        *("PASS", "primary-killed"),
        *("11.2 s", "26.2 s", "34.5 s", "0"),
    ]
    failed = page.locator("main table tr").nth(1)
    assert failed.inner_text().split("\t")[0] == "FAIL"
    failed.get_by_role("link").click()
    assert page.inner_text("h1") == "drill shop/local FAIL"


def test_one_drill_has_a_trend_too(visit: Visit) -> None:
    page = visit("/drills")
    assert "1 of 1 passed (100 %); with 95 % confidence more than 5 % do" in page.inner_text("main")
    assert page.locator("main svg").count() == 2
    assert "nothing was measured" in page.inner_text("main")  # it has no recovery point


def figures(page: Page) -> list[list[str]]:
    return [one.inner_text().split("\n") for one in page.locator("main dl div").all()]


def test_the_page_of_load_tests_shows_what_is_under_way_and_goes_on_by_itself(
    visit: Visit, site: Site
) -> None:
    draft = site.store.open("load", "mix/<b>launch</b>")
    with telling(draft, SAID):
        page = visit("/")
        page.get_by_role("navigation").get_by_role("link", name="load").click()
        assert page.inner_text("h1") == "Load tests"
        assert page.locator("main h2").first.inner_text() == "mix/<b>launch</b>: hold"
        assert "45 %, 0:00:18 of 0:00:40" in page.inner_text("main")
        assert page.locator("main progress").evaluate("it => it.position") == 0.45
        assert figures(page) == [
            ["journeys/s", "29.9 of 30"],
            ["requests/s", "59.6"],
            ["p50", "10 ms"],
            ["p95", "40 ms"],
            ["p99", "90 ms"],
            ["failed", "0 of 1,280"],
            ["missed", "0"],
            ["shoppers busy", "4"],
            ["generator", "21 % of a core"],
        ]
        assert page.locator("main .bad").count() == 0
    bad = {"stage": "peak", "failed": 3, "missed": 1, "generator_cpu_ratio": 0.95}
    with telling(draft, {**SAID, **bad, "asked_per_s": None}):
        page.get_by_role("heading", name="mix/<b>launch</b>: peak").wait_for(timeout=20_000)
        assert figures(page)[0] == ["journeys/s", "29.9"]
        marked = [one.inner_text() for one in page.locator("main .bad").all()]
        assert marked == ["3 of 1,280", "1", "95 % of a core"]
    draft.finish([])
    page.get_by_text("None is under way").wait_for(timeout=20_000)


def test_the_page_of_load_tests_leads_to_the_newest_records_and_their_reports(
    visit: Visit, site: Site
) -> None:
    keep_launch(site.store)
    page = visit("/load")
    rows = [row.inner_text().split("\t") for row in page.locator("main table tr").all()[1:]]
    *new, old = ([*row[:4], *row[5:]] for row in rows)
    assert old == ["FAIL", "load", "checkout/baseline", "", "131 ms", "report"]
    assert sorted(new) == [
        ["PASS", "capacity", "mix/launch", "4.2.0", "-", "report"],
        ["PASS", "comparison", "mix/launch", "4.2.0", "-", "report"],
        ["PASS", "gate", "mix/launch", "4.2.0", "-", ""],
        ["PASS", "load", "mix/launch", "4.2.0", "120 ms", "report"],
    ]
    page.get_by_role("link", name="report of comparison mix/launch").click()
    assert page.inner_text("h1") == "The comparison"
    page = visit("/load")
    page.get_by_role("link", name="checkout/baseline", exact=True).click()
    assert page.inner_text("h1") == "load checkout/baseline FAIL"


def test_many_load_tests_do_not_hide_the_gates(visit: Visit, site: Site) -> None:
    keep_launch(site.store)
    for _ in range(25):
        site.store.open("load", "checkout/baseline").finish([])
    table = visit("/load").locator("main table").inner_text()
    assert table.count("\tload\t") == 20
    assert table.count("\tgate\t") == 1


def test_pages_fit_a_phone(visit: Visit, site: Site) -> None:
    (hostile,) = (one for one in site.book.list() if one.alert.startswith("Odd"))
    paths = ["/", "/incidents", f"/incidents/{hostile.id}", f"/evidence/{site.load.id}"]
    paths += ["/drills", "/load"]
    with telling(site.store.open("load", "checkout/baseline"), SAID):
        for path in [*paths, "/runbooks/DatabasePrimaryDown"]:
            page = visit(path)
            page.set_viewport_size({"width": 390, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
