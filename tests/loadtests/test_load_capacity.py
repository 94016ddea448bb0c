"""Capacity: the law of scalability, what it may say, and how many instances follow."""

import json
import random
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from load_shop import SmallShop, settings_for

from loadtests import sizing
from loadtests.arrivals import WARM_UP, Stage
from loadtests.capacity import Capacity, capacity
from loadtests.capacity_report import conclusions
from loadtests.capacity_run import run_capacity
from loadtests.plan import Plan, Share
from loadtests.run import Wish, run_load
from loadtests.sizing import Assumptions, size, visits_of
from loadtests.usl import Interval, Point, Usl, fit
from storewatch.cli.main import main
from storewatch.core.errors import LoadError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

LOADS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96)


def points(
    law: Usl, loads: Sequence[float] = LOADS, noise: float = 0.0, seed: int = 0
) -> list[Point]:
    """Return what a shop of that law would show, with noise relative to its best."""
    chance, best = random.Random(seed), law.highest(max(loads))
    return [Point(n, law.at(n) + chance.gauss(0, noise * best)) for n in loads]


def covers(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def test_a_published_benchmark_gets_its_published_parameters() -> None:
    # SPEC SDM91 on a SPARCcenter 2000; N. Gunther and S. Moeding, the R package usl 3.0.
    loads = (1, 18, 36, 72, 108, 144, 216)
    scripts_per_hour = (64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2)
    found = fit([Point(*one) for one in zip(loads, scripts_per_hour, strict=True)])
    assert found.law.gamma == pytest.approx(89.9952330, rel=1e-5)
    assert found.law.alpha == pytest.approx(0.0277285, rel=1e-4)
    assert found.law.beta == pytest.approx(0.0001044, rel=1e-3)
    assert found.peak is not None
    assert found.peak.value == pytest.approx(96.5, abs=0.1)


@pytest.mark.parametrize("law", [Usl(50, 0.03, 0.0005), Usl(50, 0.2, 0.01), Usl(50, 0.03, 0)])
def test_known_parameters_are_found_again(law: Usl) -> None:
    found = fit(points(law, noise=0.005))
    assert found.law.gamma == pytest.approx(law.gamma, rel=0.1)
    assert found.law.alpha == pytest.approx(law.alpha, rel=0.2)
    assert found.law.beta == pytest.approx(law.beta, rel=0.1, abs=1e-5)
    assert found.capacity.value == pytest.approx(law.highest(96), rel=0.02)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    law = Usl(50, 0.03, 0.0005)
    fits = [fit(points(law, noise=0.03, seed=seed)) for seed in range(100)]
    for name, truth in (("gamma", 50), ("alpha", 0.03), ("beta", 0.0005)):
        held = sum(covers(getattr(one, name), truth) for one in fits)
        assert 88 <= held <= 99, f"{name}: {held} of 100"
    assert 88 <= sum(covers(one.capacity, law.highest(96)) for one in fits) <= 99
    assert 88 <= sum(one.peak is not None and covers(one.peak, law.peak) for one in fits) <= 99


def test_intervals_at_a_bound_are_not_too_narrow() -> None:
    fits = [fit(points(Usl(50, 0.03, 0), noise=0.03, seed=seed)) for seed in range(40)]
    assert sum(covers(one.beta, 0) for one in fits) >= 37
    assert sum(one.beta.high > 0 for one in fits) == 40
    assert sum(one.peak is None for one in fits) >= 37


def test_ends_of_an_interval_are_where_a_search_of_the_whole_plane_finds_them() -> None:
    from scipy.stats import f

    seen = points(Usl(50, 0.03, 0.0005), noise=0.03, seed=5)
    found = fit(seen)

    def least(alpha: float, beta: float) -> float:
        shape = [Usl(1, alpha, beta).at(one.concurrency) for one in seen]
        top = sum(s * one.per_s for s, one in zip(shape, seen, strict=True))
        gamma = top / sum(s * s for s in shape)
        return sum((gamma * s - one.per_s) ** 2 for s, one in zip(shape, seen, strict=True))

    allowed = least(found.law.alpha, found.law.beta) * (1 + f.ppf(0.95, 1, 7) / 7)
    alphas = [n * 0.0005 for n in range(160)]
    betas = [n * 1e-5 for n in range(100)]
    inside = [(a, b) for a in alphas for b in betas if least(a, b) <= allowed]
    assert found.alpha.low == pytest.approx(min(a for a, _ in inside), abs=0.001)
    assert found.alpha.high == pytest.approx(max(a for a, _ in inside), abs=0.001)
    assert found.beta.low == pytest.approx(min(b for _, b in inside), abs=2e-5)
    assert found.beta.high == pytest.approx(max(b for _, b in inside), abs=2e-5)


def test_without_a_fall_there_is_no_peak() -> None:
    found = fit(points(Usl(50, 0.1, 0), noise=0.01, seed=1))
    assert found.peak is None
    assert "the interval of beta includes 0" in found.no_peak


def test_a_peak_far_beyond_the_data_is_not_stated_and_the_limit_is_named() -> None:
    found = fit(points(Usl(50, 0.05, 0.00002), noise=1e-5))
    assert found.law.peak == pytest.approx(218, rel=0.05)
    assert found.peak is None
    assert "beyond 192, 2 times the largest that was measured" in found.no_peak
    assert found.capacity.value == pytest.approx(found.law.at(96))


def test_a_fit_refuses_to_extrapolate_further_than_the_data_carry() -> None:
    found = fit(points(Usl(50, 0.05, 0.0005)))
    assert found.at(192) == pytest.approx(Usl(50, 0.05, 0.0005).at(192), rel=1e-3)
    with pytest.raises(ValueError, match=r"193 is outside .* up to 192, 2 times the largest"):
        found.at(193)


def test_too_few_loads_are_refused() -> None:
    with pytest.raises(ValueError, match="5 loads; a fit needs 6 or more"):
        fit(points(Usl(50, 0.05, 0.0005), LOADS[:5]))


# A run as the generator records it, made from a law: `queued` steps bring more than the shop can.


def run_of(
    law: Usl, rates: Sequence[float], hold_s: float = 60.0, shoppers: int = 200
) -> tuple[dict[str, Any], Plan]:
    """Return summary and plan of an even run on a shop of that law, three requests a visit."""
    stages = [Stage(WARM_UP, 5, rates[0], rates[0], counts=False)]
    stages += [Stage(f"step-{n}", hold_s, rate, rate) for n, rate in enumerate(rates, 1)]
    plan = Plan(
        run="r",
        journeys=(Share("buy", "m:f"),),
        base_url="http://127.0.0.1:9",
        ca_file=None,
        stages=tuple(stages),
        timeout_s=10,
        shoppers=shoppers,
        patience_s=10,
    )
    rows = []
    for stage in stages:
        best = law.highest(shoppers)
        done_per_s = min(stage.start_rate, best)
        inside = next(
            (n / 10 for n in range(1, 10 * shoppers) if law.at(n / 10) >= done_per_s), shoppers
        )
        visits = stage.duration_s * stage.start_rate
        rows.append(
            {
                "name": stage.name,
                "visits": round(visits),
                "visits_failed": 0,
                "arrivals_missed": 0,
                "requests": round(3 * stage.duration_s * done_per_s),
                "requests_failed": 0,
                "visit": {"mean_s": inside / done_per_s if done_per_s < best else 30.0},
            }
        )
    summary = {
        "duration_s": plan.duration_s,
        "generator_cpu_ratio": 0.3,
        "orders_acknowledged": sum(row["visits"] for row in rows) // 4,
        "by_stage": rows,
    }
    return summary, plan


RATES = (40, 80, 120, 160, 200, 240, 280, 320)
SHOP = Usl(20, 0.05, 0)  # comes near 400 visits/s


def said(found: Capacity, orders_per_s: float | None = None) -> tuple[str, list[Verdict]]:
    assumed = Assumptions()
    ratio, planned = found.order_ratio or 1.0, found.planned_per_s or 0.0
    sizings = {}
    if orders_per_s is not None:
        one = size(orders_per_s / ratio, planned, found.best_per_s, assumed)
        sizings[f"{orders_per_s:g} orders/s"] = one
    notes, verdicts = conclusions(found, sizings, orders_per_s)
    return "\n".join(notes), verdicts


def test_concurrency_is_little_s_law_and_throughput_what_was_answered_within_the_step() -> None:
    found = capacity(*run_of(SHOP, (*RATES, 500, 600)))
    first, last = found.steps[0], found.steps[-1]
    assert first.name == "step-1"
    assert SHOP.at(first.concurrency) == pytest.approx(40, rel=0.05)
    assert first.per_s == pytest.approx(40)
    assert last.arrived_per_s == 600
    assert last.per_s == pytest.approx(SHOP.highest(200), rel=0.01)
    assert last.concurrency == 200  # what waits for a virtual shopper is not in the shop
    assert (first.kept_up, last.kept_up) == (True, False)
    assert found.reached
    assert found.fit is not None
    assert found.fit.capacity.value == pytest.approx(SHOP.highest(200), rel=0.02)
    assert said(found)[1] == []


def test_a_run_that_never_met_the_limit_says_so() -> None:
    found = capacity(*run_of(SHOP, RATES))
    text, verdicts = said(found)
    assert "the limit was not reached: the shop kept up with every step, the last at 320" in text
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert said(found, 10)[1] == []  # a question that needs no more than was seen is answered


def test_steps_that_failed_or_broke_off_are_left_out_by_name() -> None:
    summary, plan = run_of(SHOP, (*RATES, 500, 600))
    summary["by_stage"][9]["visits_failed"] = summary["by_stage"][9]["visits"] // 10
    summary["duration_s"] -= 20
    found = capacity(summary, plan)
    text, _ = said(found)
    assert "step-9 is left out: 10% of its visits failed (limit 5%)" in text
    assert "step-10 is left out: it was not held to its end" in text
    assert found.best_per_s == pytest.approx(320)


def test_failed_visits_and_requests_are_no_throughput() -> None:
    summary, plan = run_of(SHOP, RATES)
    row = summary["by_stage"][5]
    row["visits_failed"] = row["visits"] // 50
    row["requests_failed"] = row["requests"] // 50
    step = capacity(summary, plan).steps[4]
    assert step.per_s == pytest.approx(200 * 0.98 * 0.98, rel=1e-3)


def test_too_few_steps_are_inconclusive() -> None:
    found = capacity(*run_of(SHOP, RATES[:5]))
    text, verdicts = said(found)
    assert found.fit is None
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert "5 loads can be used, a fit needs 6" in text


def test_a_law_that_does_not_describe_the_run_is_inconclusive() -> None:
    summary, plan = run_of(SHOP, RATES)
    for row, times in zip(summary["by_stage"], (1, 9, 1, 7, 0.3, 5, 0.2, 6, 0.1), strict=True):
        row["visit"]["mean_s"] *= times  # slow and quick by turns, whatever the load
    text, verdicts = said(capacity(summary, plan))
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert re.search(r"the law explains -?\d+% of the throughput \(limit 90%\)", text)


def test_the_limit_of_the_generator_is_not_that_of_the_shop() -> None:
    summary, plan = run_of(SHOP, (*RATES, 500))
    summary["generator_cpu_ratio"] = 0.95
    text, verdicts = said(capacity(summary, plan))
    assert verdicts == [Verdict.INVALID]
    assert "the generator used 95% of a core" in text


def test_plans_count_on_the_lower_bound_and_on_no_more_than_was_seen() -> None:
    summary, plan = run_of(SHOP, (*RATES, 500, 600))
    for row, times in zip(summary["by_stage"][5:], (0.93, 1.08, 0.94, 1.06, 0.9, 1.1), strict=True):
        row["visit"]["mean_s"] *= times
        row["requests"] = round(row["requests"] * times)
    found = capacity(summary, plan)
    assert found.fit is not None
    assert found.planned_per_s == found.fit.capacity.low
    assert found.fit.capacity.low < 0.99 * found.fit.capacity.value
    slower = replace(found, steps=found.steps[:3])
    assert slower.planned_per_s == slower.best_per_s == pytest.approx(120, rel=0.05)


def test_instances_follow_from_the_lower_bound_and_the_headroom() -> None:
    assumed = Assumptions(instances=2, headroom=0.3)
    one = size(per_s=350, planned_per_s=200, best_per_s=210, assumed=assumed)
    assert (one.instances, one.measured) == (5, True)  # 70 each
    assert size(420, 200, 210, assumed).measured
    assert not size(421, 200, 210, assumed).measured
    assert size(1, 200, 210, assumed).instances == 1


def test_shared_work_bounds_what_instances_can_do() -> None:
    shared = Assumptions(headroom=0.0, contention=0.01)
    ten = size(900, 100, 100, shared)
    assert ten.instances is not None
    carried = 100 * ten.instances / (1 + 0.01 * (ten.instances - 1))
    fewer = 100 * (ten.instances - 1) / (1 + 0.01 * (ten.instances - 2))
    assert fewer < 900 <= carried
    assert size(10_000, 100, 100, shared).instances is None  # 100 times one is never reached


def test_the_plan_for_ten_million_shoppers_is_that_of_the_response_time_law() -> None:
    per_s = visits_of(10_000_000, response_s=0.2, think_time_s=7.0, requests_per_visit=6)
    assert per_s == pytest.approx(10_000_000 / 7.2 / 6)
    assert sizing.SHOPPERS[-1] == 10_000_000


def test_an_answer_far_beyond_what_was_measured_is_a_hypothesis() -> None:
    found = capacity(*run_of(SHOP, (*RATES, 500, 600)))
    text, verdicts = said(found, 10_000)
    assert verdicts == [Verdict.INCONCLUSIVE]
    assert "a hypothesis beyond 2 times" in text


# Whole: real files, a real shop, the command line.


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
    full_shop: SmallShop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    steps = {"shape": "steps", "rate": 40, "by": 40, "steps": 7, "hold": "3s", "warm_up": "1s"}
    settings = settings_for(full_shop.url, connections=20, profiles={"steps": steps})
    store = EvidenceStore(tmp_path / "home")
    run_load(settings, Wish("look", "steps", gives_up=False), store, lambda _line: None)
    config = tmp_path / "storewatch.yaml"
    for words in (["init"], ["load", "capacity", "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(config), *words])
        out = capsys.readouterr()
    assert ended.value.code == 0, out.err
    found = Evidence.from_json(json.loads(out.out))
    theory_per_s = SLOTS / HELD_S
    # HTTP takes a part of each 20 ms; the law rounds the sharp knee of a fixed number of slots.
    assert found.value("measured_per_s") == pytest.approx(theory_per_s, rel=0.15)
    assert found.value("capacity_per_s") == pytest.approx(theory_per_s, rel=0.2)
    assert (found.value("capacity_low_per_s") or 0.0) <= theory_per_s
    assert (found.value("capacity_high_per_s") or 0.0) >= 0.9 * theory_per_s
    assert found.value("usl_gamma") == pytest.approx(1 / HELD_S, rel=0.3)
    assert store.list("capacity")[0].id == found.id
