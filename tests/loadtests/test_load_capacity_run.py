"""Capacity as evidence: real files, a real shop, the command line."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from load_house import House
from load_shop import SmallShop, settings_for
from stepped_run import RATES, SHOP, run_of

from loadtests.capacity_run import run_capacity
from loadtests.plan import Plan
from loadtests.run import Wish, run_load
from loadtests.sizing import Assumptions
from storewatch.core.errors import LoadError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore


def kept(store: EvidenceStore, summary: dict[str, Any], plan: Plan, release: str = "") -> Evidence:
    """Write a run as `load run` leaves it."""
    draft = store.open("load", "buy/steps", {"release": release} if release else None)
    plan.write(draft.folder / "plan.json")
    (draft.folder / "summary.json").write_text(json.dumps(summary))
    return draft.finish([], [], [Verdict.INVALID])  # as a run beyond the limit is


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path)


def test_the_newest_run_with_enough_steps_is_taken(store: EvidenceStore) -> None:
    wanted = kept(store, *run_of(SHOP, (*RATES, 500)), release="4.2.0")
    kept(store, *run_of(SHOP, RATES[:5]))
    found = run_capacity(store, None, Assumptions(), 20)
    assert (found.kind, found.subject, found.verdict) == ("capacity", "buy/steps", Verdict.PASS)
    assert found.context["load"] == wanted.id
    assert found.context["release"] == "4.2.0"
    capacity_per_s = found.value("capacity_per_s") or 0.0
    assert (found.value("capacity_low_per_s") or 0.0) <= capacity_per_s
    needed = found.value("instances_needed")
    assert needed == 1  # 20 orders/s are 80 visits/s, a quarter of what is left free
    more = run_capacity(store, wanted.id, Assumptions(), 100)
    assert more.value("instances_needed") == 2  # 400 visits/s, of which one takes about 265
    ten_million = found.value("instances_needed.shoppers:10000000") or 0.0
    a_million = found.value("instances_needed.shoppers:1000000") or 0.0
    assert ten_million == pytest.approx(10 * a_million, rel=0.01)
    usable = min(found.value("capacity_low_per_s") or 0.0, found.value("measured_per_s") or 0.0)
    per_s = 10_000_000 / (7 + 0.0183) / 3
    assert ten_million == pytest.approx(per_s / (usable * 0.7), rel=0.01)
    assert sum(note.startswith("assumed:") for note in found.notes) == 6


def test_the_report_shows_steps_curve_and_instances_without_a_network(store: EvidenceStore) -> None:
    kept(store, *run_of(SHOP, (*RATES, 500)))
    found = run_capacity(store, None, Assumptions(), 20)
    html = (store.folder(found) / "report.html").read_text()
    assert html.count("<circle") == 9
    assert "10,000,000 shoppers" in html
    assert re.search(r">47\d,\d{3}</td>", html)  # visits a second of ten million, no power of ten
    assert "<title>extrapolated</title>" in html
    assert "the shop did not keep up" in html
    assert "a hypothesis: load-test it" in html
    assert "assumed: shoppers think 7 s" in html
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)


@pytest.mark.parametrize("name", ["summary.json", "plan.json"])
def test_a_file_that_was_altered_after_the_run_is_refused(store: EvidenceStore, name: str) -> None:
    load = kept(store, *run_of(SHOP, (*RATES, 500)))
    path = store.folder(load) / name
    path.write_text(path.read_text().replace("500", "900"))
    with pytest.raises(LoadError, match=rf"{load.id}: {name} was altered after the run"):
        run_capacity(store, load.id, Assumptions())
    path.unlink()
    with pytest.raises(LoadError, match=f"{name} is missing beside the evidence"):
        run_capacity(store, load.id, Assumptions())
    assert store.list("capacity") == []


def test_a_run_of_an_older_form_is_one_line(store: EvidenceStore) -> None:
    summary, plan = run_of(SHOP, RATES)
    for row in summary["by_stage"]:
        del row["visit"]["mean_s"]
    load = kept(store, summary, plan)
    with pytest.raises(LoadError, match=r"summary\.json says no 'mean_s': it is of an older form"):
        run_capacity(store, load.id, Assumptions())


def test_a_plan_of_an_older_form_is_one_line(
    store: EvidenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, plan = run_of(SHOP, RATES)
    older = plan.to_json()
    older["moments"] = older.pop("recording") or ()
    monkeypatch.setattr(Plan, "to_json", lambda _: older)
    load = kept(store, summary, plan)
    with pytest.raises(
        LoadError, match=rf"{load.id}: plan\.json is of an older form \('recording'\)"
    ):
        run_capacity(store, load.id, Assumptions())


def test_what_cannot_be_asked_is_one_line(store: EvidenceStore) -> None:
    with pytest.raises(UsageError, match="no load test has 6 steps; make a run of a profile"):
        run_capacity(store, None, Assumptions())
    summary, plan = run_of(SHOP, RATES)
    summary["orders_acknowledged"] = 0
    load = kept(store, summary, plan)
    with pytest.raises(UsageError, match=r"acknowledged no order, .* such as --order-ratio 0\.05"):
        run_capacity(store, load.id, Assumptions(), 10)
    assert run_capacity(store, load.id, Assumptions(order_ratio=0.5), 10).verdict is Verdict.PASS
    backup = store.open("backup", "shop").finish([])
    with pytest.raises(UsageError, match="is evidence of a backup; name a run"):
        run_capacity(store, backup.id, Assumptions())


SLOTS, HELD_S = 4, 0.02


@pytest.fixture
def full_shop(shop: SmallShop) -> SmallShop:
    """A shop that serves four at once, each for 20 ms: 200 visits a second and no more."""
    slots = threading.Semaphore(SLOTS)

    def serve(_path: str, _count: int) -> None:
        with slots:
            shop.ending.wait(HELD_S)

    shop.before = serve
    return shop


def test_the_capacity_of_a_real_server_is_found_through_the_command_line(
    full_shop: SmallShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path))
    house = House(tmp_path)
    steps = {"shape": "steps", "rate": 40, "by": 40, "steps": 7, "hold": "3s", "warm_up": "1s"}
    settings = settings_for(full_shop.url, connections=20, profiles={"steps": steps})
    for _ in range(3):  # again while this host starves the generator, which is INVALID
        run_load(settings, Wish("look", "steps", gives_up=False), house.store, lambda _line: None)
        answer = house.call("load", "capacity", "--json")
        found = Evidence.from_json(answer.evidence)
        if found.verdict is not Verdict.INVALID:
            break
    assert answer.code == 0, (answer.stderr, found.notes)
    theory_per_s = SLOTS / HELD_S
    measured, low, law, high = (
        found.value(f"{name}_per_s") or 0.0
        for name in ("measured", "capacity_low", "capacity", "capacity_high")
    )
    # HTTP takes a part of each 20 ms; the law rounds the sharp knee of a fixed number of slots, so
    # that it may lie above the truth. What plans count on may not.
    assert measured == pytest.approx(theory_per_s, rel=0.15)
    assert 0.8 * theory_per_s <= min(low, measured) <= theory_per_s
    assert low <= law <= high
    assert high >= 0.9 * theory_per_s
    assert found.value("usl_gamma") == pytest.approx(1 / HELD_S, rel=0.3)
    assert house.store.list("capacity")[0].id == found.id
