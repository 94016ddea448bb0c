"""`load gate` on a real small shop: what it runs, what it says, and how it ends."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from gate_house import BUDGET, DRILL, LOOK, Gated, budgets, note_of
from load_house import QUICK, SLOW
from load_shop import SmallShop

from loadtests.run import Wish, run_load
from loadtests.settings import LoadSettings
from storewatch import gating
from storewatch.core.errors import LoadError
from storewatch.core.evidence import Evidence


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    from storewatch.cli import common

    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("CONSOLE_TOKEN", "a token of many characters")
    common._parts.cache_clear()
    yield Gated(tmp_path)
    common._parts.cache_clear()


def slowly(shop: SmallShop, takes_s: float) -> Callable[[str, int], object]:
    return lambda _path, _count: shop.ending.wait(takes_s)


def test_a_release_that_shows_everything_passes_with_the_evidence_of_each(
    shop: SmallShop, house: Gated
) -> None:
    drill = house.drill(hours_ago=2)
    first = {"compare": "look/short", "first_release": "pass"}
    with budgets(0.8) as prometheus:
        house.ask(shop.url, LOOK, first, DRILL, BUDGET, prometheus=prometheus)
        answer = house.gate("4.2.0")
    found = answer.evidence
    assert (answer.code, found["verdict"]) == (0, "PASS"), found["notes"]
    assert (found["kind"], found["subject"]) == ("gate", "pre-launch")
    assert found["context"]["release"] == "4.2.0"
    load = house.store.list("load")[0]
    assert load.context["release"] == "4.2.0"
    assert note_of(answer, "load look/short") == f"PASS: load look/short ({load.id})"
    assert (
        note_of(answer, "compare")
        == "PASS: compare look/short: no other release has passed pre-launch"
    )
    assert note_of(answer, "newest").endswith(f"of cloud, 2 h ago ({drill.id})")
    values = {m["name"]: m["value"] for m in found["measurements"]}
    assert (values["requirements_passed"], values["requirements_failed"]) == (4, 0)
    assert values["p95_s.load look/short"] == load.value("p95_s")
    assert values["error_budget_left_ratio.shop-checkout"] == 0.8
    assert "1 of 4: load look/short ..." in answer.stderr


def test_the_artefacts_of_a_gate_are_for_people_for_machines_and_for_ci(
    shop: SmallShop, house: Gated
) -> None:
    house.drill(hours_ago=30)
    with budgets(0.8) as prometheus:
        house.ask(shop.url, DRILL, BUDGET, prometheus=prometheus)
        answer = house.gate("4.2.0")
    folder = Path(answer.evidence["folder"])
    assert {one["path"] for one in answer.evidence["artefacts"]} == {
        *("gate.json", "junit.xml", "report.html")
    }
    whole = json.loads((folder / "gate.json").read_text())
    assert (whole["policy"], whole["release"], whole["verdict"]) == ("pre-launch", "4.2.0", "FAIL")
    assert [one["verdict"] for one in whole["requirements"]] == ["FAIL", "PASS"]
    suite = ElementTree.fromstring((folder / "junit.xml").read_text())[0]  # noqa: S314 - our own
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == [
        *("verdict", "newest restore drill", "requirements_failed", "age_s.newest restore drill")
    ]
    assert suite.get("tests") == str(len(suite)) == "8"
    html = (folder / "report.html").read_text()
    assert "release 4.2.0" in html
    assert not re.search(r"<script|<link|src=|https?://", html)
    (link,) = re.findall(r'href="(\.\./[^"]+)"', html)
    assert (folder / link).is_file()


def test_a_slow_shop_fails_by_name_and_the_rest_is_looked_at_all_the_same(
    shop: SmallShop, house: Gated
) -> None:
    house.drill(hours_ago=2)
    house.ask(shop.url, LOOK, DRILL)
    shop.before = slowly(shop, 0.3)
    answer = house.gate("4.2.0")
    assert (answer.code, answer.evidence["verdict"]) == (1, "FAIL"), answer.evidence["notes"]
    assert re.match(
        r"FAIL: load look/short: p95_s is 3\d\d ms, asked is < 0.2", note_of(answer, "load")
    )
    assert note_of(answer, "newest").startswith("PASS")


def test_with_fail_fast_the_first_failure_ends_it(shop: SmallShop, house: Gated) -> None:
    house.drill(hours_ago=30)
    house.ask(shop.url, DRILL, LOOK)
    answer = house.gate("4.2.0", "--fail-fast")
    assert answer.code == 1
    assert note_of(answer, "load look/short") == (
        "INCONCLUSIVE: load look/short: not run: newest restore drill had decided"
    )
    assert (shop.requests, house.store.list("load")) == (0, [])


def test_a_drill_that_is_too_old_fails_by_name(shop: SmallShop, house: Gated) -> None:
    drill = house.drill(hours_ago=25)
    house.ask(shop.url, DRILL)
    answer = house.gate("4.2.0")
    assert answer.code == 1
    assert note_of(answer, "newest") == (
        "FAIL: newest restore drill: of cloud, 25 h ago; asked is 24 h at most:"
        f" `storewatch drill run` ({drill.id})"
    )


@pytest.mark.parametrize("left", [0.05, None])
def test_a_budget_that_is_nearly_spent_fails_and_one_without_data_is_left_open(
    left: float | None, shop: SmallShop, house: Gated
) -> None:
    with budgets(left) as prometheus:
        house.ask(shop.url, BUDGET, prometheus=prometheus)
        answer = house.gate("4.2.0")
    assert answer.code == (3 if left is None else 1)
    said = "shop-checkout has no data" if left is None else "shop-checkout has 5 % left"
    assert said in note_of(answer, "error budget all")


def test_without_prometheus_the_budget_is_left_open(shop: SmallShop, house: Gated) -> None:
    house.ask(shop.url, BUDGET)
    answer = house.gate("4.2.0")
    assert (answer.code, answer.evidence["verdict"]) == (3, "INCONCLUSIVE")
    assert "error budget all: Prometheus does not answer at" in note_of(answer, "error budget")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("4.2.0", "--policy", "launch"), "no policy 'launch' in loadtests.policies; there are:"),
        ((" ", "--policy", "pre-launch"), "the release has no name"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_run(
    words: tuple[str, ...], said: str, shop: SmallShop, house: Gated
) -> None:
    house.ask(shop.url, LOOK)
    answer = house.call("load", "gate", *words)
    assert (answer.code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
    assert said in answer.stderr
    assert (shop.requests, house.store.list()) == (0, [])


def test_a_policy_that_names_no_journey_there_is_refused_when_it_is_read(
    shop: SmallShop, house: Gated
) -> None:
    house.ask(shop.url, {"load": "pay/short"})
    answer = house.call("check")
    assert (answer.code, answer.stderr.count("\n")) == (2, 1)
    assert "policies.pre-launch[0]: no journey 'pay'; there are: look" in answer.stderr


def test_a_soak_runs_for_its_own_length_and_as_often_as_asked(
    shop: SmallShop, house: Gated
) -> None:
    house.ask(shop.url, {"load": "look/short", "hold": "750ms", "times": 2})
    answer = house.gate("4.2.0")
    runs = house.store.list("load", "look/short-0.75s")
    assert len(runs) % 2 == 0
    assert len(runs) >= 2
    assert all(one.id in note_of(answer, "load look/short, hold 0.75 s") for one in runs[:2])
    plan = json.loads((house.store.folder(runs[0]) / "plan.json").read_text())
    assert plan["stages"][-1]["duration_s"] == 0.75


@pytest.mark.parametrize(("more", "workers"), [({"workers": 2}, 2), ({}, 0)])
def test_as_many_workers_make_the_load_as_the_policy_says(
    more: dict[str, int], workers: int, shop: SmallShop, house: Gated
) -> None:
    house.ask(shop.url, {**LOOK, **more})
    answer = house.gate("4.2.0")
    load = house.store.list("load")[0]
    assert load.id in note_of(answer, "load look/short")
    made = {path.name for path in house.store.folder(load).glob("worker-*")}
    assert made == {f"worker-{number}" for number in range(1, workers + 1)}


def test_the_runs_before_one_that_broke_off_are_in_the_outcome(
    shop: SmallShop, house: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[Wish] = []

    def breaks_off(settings: LoadSettings, wish: Wish, *others: Any) -> Evidence:
        turns.append(wish)
        if len(turns) % 3 == 0:
            raise LoadError("the load generator ended with status 9")
        return run_load(settings, wish, *others)

    monkeypatch.setattr(gating, "run_load", breaks_off)
    house.ask(shop.url, {**LOOK, "times": 3})
    answer = house.gate("4.2.0")
    assert answer.code == 1, answer.evidence["notes"]
    note = note_of(answer, "load look/short")
    said = "FAIL: load look/short: run 3: the load generator ended with status 9"
    assert note.startswith(said)
    second, first = house.store.list("load")[:2]
    assert note.endswith(f"({first.id}, {second.id})")
    values = {m["name"]: m["value"] for m in answer.evidence["measurements"]}
    worst = max(one.value("p95_s") or 0.0 for one in (first, second))
    assert values["p95_s.load look/short"] == worst


def test_a_slower_release_than_the_last_that_passed_does_not_pass(
    shop: SmallShop, house: Gated
) -> None:
    house.ask(shop.url, {"compare": "look/short", "first_release": "pass"})
    house.put("1.0", *QUICK, subject="look/short")
    assert house.gate("1.0").code == 0
    house.put("1.1", *SLOW, subject="look/short")
    slower = house.gate("1.1")
    assert slower.code == 1
    assert re.match(
        r"FAIL: compare look/short: with 1\.0; .*p95_s of 1\.1 is 1\.\d+ times",
        note_of(slower, "compare"),
    )
    house.put("1.2", *QUICK, subject="look/short")
    same = house.gate("1.2")
    assert same.code == 0
    assert note_of(same, "compare").startswith("PASS: compare look/short: with 1.0 (")
    comparison = house.store.list("comparison")[0]
    assert comparison.id in note_of(same, "compare")


def test_without_a_release_that_passed_a_comparison_is_left_open(
    shop: SmallShop, house: Gated
) -> None:
    house.drill(hours_ago=2)
    house.ask(shop.url, DRILL, {"compare": "look/short"})
    house.put("1.0", *QUICK, subject="look/short")
    answer = house.gate("1.0")
    assert (answer.code, answer.evidence["verdict"]) == (3, "INCONCLUSIVE")
    assert "`first_release: pass` lets the first one through" in note_of(answer, "compare")
