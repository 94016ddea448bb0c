"""`load compare`, `load history` and `load run --times`: runs of releases of a real small shop."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from load_house import HOST, PLAN, QUICK, SLOW, Answer, House
from load_shop import SmallShop, profile, settings_for

from loadtests.arrivals import Stage
from loadtests.history import history
from loadtests.past_runs import Run
from loadtests.plan import Share
from loadtests.run import Wish, run_load
from storewatch.core.targets import Verdict, worst


class Shelf(House):
    """A house whose commands are those of `storewatch load`."""

    def load(self, *words: str) -> Answer:
        return self.call("load", *words)

    def compared(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Return exit code and evidence of a comparison with one candidate."""
        answer = self.load("compare", *words, "--json")
        assert answer.stdout, answer.stderr
        (found,) = json.loads(answer.stdout)
        return answer.code, found


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("CONSOLE_TOKEN", "a token of many characters")
    return Shelf(tmp_path)


def test_a_planted_slowdown_is_found_by_name_and_a_build_that_is_the_same_is_not_flagged(
    shop: SmallShop, house: Shelf
) -> None:
    """Ten runs a side, so that two that a busy host disturbed decide nothing."""
    service_s = {"4.1.0": 0.05, "4.1.1": 0.05, "4.2.0": 0.06}
    settings = settings_for(shop.url, profiles={"short": {"rate": 5}})
    settings = settings.model_copy(update={"profiles": {"short": profile(25, "1200ms", "200ms")}})
    valid = dict.fromkeys(service_s, 0)
    for _ in range(16):
        for release, taken_s in service_s.items():
            if valid[release] == 10:
                continue
            pause = threading.Event()
            shop.before = lambda _path, _count, w=pause, s=taken_s: w.wait(s)  # type: ignore[misc]
            wish = Wish("look", "short", release)
            done = run_load(settings, wish, house.store, lambda _line: None)
            valid[release] += done.verdict is not Verdict.INVALID
    assert valid == dict.fromkeys(service_s, 10)

    slow = house.load("compare", "4.1.0", "4.2.0")
    assert slow.code == 1, slow.stdout
    assert "FAIL: p95_s of 4.2.0 is 1." in slow.stdout
    same = house.load("compare", "4.1.0", "4.1.1")
    assert same.code in {0, 3}, same.stdout
    assert "FAIL" not in same.stdout
    both = house.load("compare", "4.1.0", "4.1.1", "4.2.0", "--json")
    assert both.code == 1
    last = json.loads(both.stdout)[1]
    assert (last["kind"], last["subject"], last["verdict"]) == ("comparison", "look/short", "FAIL")
    assert last["context"]["candidate"]["name"] == "4.2.0"
    values = {one["name"]: one["value"] for one in last["measurements"]}
    assert 1.1 < values["p95_ratio"] < 1.35


def test_a_run_can_be_repeated_and_the_worst_verdict_ends_the_command(
    shop: SmallShop, house: Shelf
) -> None:
    """The first of two runs misses its target, the second does not."""
    house.configure(
        shop.url,
        profiles={"short": {"rate": 10, "warm_up": "100ms", "hold": "500ms"}},
        targets={"p95_s": "< 0.25"},
    )
    words = ("run", "look", "--profile", "short", "--release", "4.2.0", "--times", "2")
    slowly = threading.Event()
    shop.before = lambda _path, count: slowly.wait(0.3 if count % 12 in range(1, 7) else 0)
    answer = house.load(*words)
    second, first = house.store.list("load")
    assert {first.context["release"], second.context["release"]} == {"4.2.0"}
    assert first.verdict in {Verdict.FAIL, Verdict.INVALID}
    assert answer.stdout.count("load look/short: ") == 2
    assert f"load look/short: {first.verdict}  ({house.store.folder(first)})" in answer.stdout
    assert answer.code == worst([first.verdict, second.verdict]).exit_code
    listed = house.load(*words, "--json")
    assert [one["subject"] for one in json.loads(listed.stdout)] == ["look/short"] * 2


def test_a_table_says_what_was_compared(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    house.put("4.2.0", *SLOW)
    answer = house.load("compare", "4.1.0", "4.2.0")
    assert answer.code == 1
    lines = answer.stdout.splitlines()
    assert lines[0] == "4.1.0 (5 runs) -> 4.2.0 (5 runs)"
    row = " ".join(lines[2].split())
    assert row == "p95_s 102 ms 122 ms +19.6% +17.5% to +21.8% 0.0079 +1.00 FAIL"
    assert any("came before those of the other" in line for line in lines)
    assert lines[-1].startswith("comparison look/baseline: FAIL  (")


def test_runs_by_turns_need_no_warning(house: Shelf) -> None:
    for quick, slow in zip(QUICK, SLOW, strict=True):
        house.put("4.1.0", quick)
        house.put("4.2.0", slow)
    assert "came before" not in house.load("compare", "4.1.0", "4.2.0").stdout


def test_runs_may_be_named_by_their_ids(house: Shelf) -> None:
    before = [one.id for one in house.put("", *QUICK)]
    after = [one.id for one in house.put("", *QUICK)]
    code, found = house.compared(",".join(before), ",".join(after))
    assert (code, found["verdict"]) == (0, "PASS")
    assert found["context"]["baseline"]["runs"] == before
    assert found["context"]["candidate"]["runs"] == after


def test_too_few_runs_are_inconclusive_and_the_command_for_more_is_told(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    house.put("4.2.0", *SLOW[:3])
    code, found = house.compared("4.1.0", "4.2.0")
    assert (code, found["verdict"]) == (3, "INCONCLUSIVE")
    assert found["notes"][-1] == (
        "INCONCLUSIVE: 4.2.0 has 3 valid runs, 5 are needed for 2 measurements:"
        " storewatch load run look --profile baseline --release 4.2.0 --times 2"
    )


def test_an_invalid_run_is_not_used_and_named(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    (spoilt,) = house.put("4.2.0", 9.0, invalid="INVALID: the generator used 99 % of a core")
    house.put("4.2.0", *QUICK)
    code, found = house.compared("4.1.0", "4.2.0")
    assert (code, found["verdict"]) == (0, "PASS")
    assert spoilt.id not in found["context"]["candidate"]["runs"]
    assert (
        f"left out: run {spoilt.id} (4.2.0) is INVALID: the generator used 99 % of a core"
        in found["notes"]
    )


def test_a_run_that_was_given_up_is_used_and_named(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    house.put("4.2.0", *SLOW[1:])
    (cut,) = house.put(
        "4.2.0", SLOW[0], given_up="given up after 12 s: p95_s < 0.2 is out of reach"
    )
    code, found = house.compared("4.1.0", "4.2.0")
    assert (code, found["verdict"]) == (1, "FAIL")
    assert cut.id in found["context"]["candidate"]["runs"]
    assert (
        f"run {cut.id} (4.2.0) was given up after 12 s: p95_s < 0.2 is out of reach; its figures"
        " are of the time before"
    ) in found["notes"]


OTHER_STAGES = replace(PLAN, stages=(Stage("hold", 60, 9, 9),))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"host": {**HOST, "cpus": 8}}, "has another host (cpus 8, 2.0 GiB) than"),
        ({"workers": "4"}, "has other workers (4) than"),
        ({"plan": OTHER_STAGES}, "has other stages than"),
        ({"plan": replace(PLAN, spacing="poisson")}, "has other spacing than"),
        ({"plan": replace(PLAN, journeys=(Share("b", "b:b"),))}, "has other journeys than"),
        ({"plan": None}, "plan.json of"),
    ],
)
def test_what_is_not_alike_is_not_compared(house: Shelf, other: Any, said: str) -> None:
    house.put("4.1.0", *QUICK)
    house.put("4.2.0", *QUICK[:4])
    (strange,) = house.put("4.2.0", QUICK[4], **other)
    code, found = house.compared("4.1.0", "4.2.0")
    assert (code, found["verdict"]) == (3, "INVALID")
    (reason,) = [note for note in found["notes"] if note.startswith("INVALID")]
    assert said in reason and strange.id in reason
    assert [one["value"] for one in found["measurements"]] == [None]


def test_the_same_plan_may_go_to_two_deployments_and_a_kernel_may_take_some_memory(
    house: Shelf,
) -> None:
    house.put("4.1.0", *QUICK)
    slightly = {**HOST, "memory_bytes": HOST["memory_bytes"] - 4096}
    house.put("4.2.0", *QUICK, host=slightly, plan=replace(PLAN, base_url="http://b"))
    code, found = house.compared("4.1.0", "4.2.0")
    assert (code, found["verdict"]) == (0, "PASS")
    assert "the runs went to several shops: http://a, http://b" in found["notes"]


def test_what_is_tolerated_is_a_setting(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    house.put("4.2.0", *SLOW)
    house.configure("http://127.0.0.1:9", comparison={"tolerated_ratio": 1.3})
    code, found = house.compared("4.1.0", "4.2.0")
    assert (code, found["measurements"][0]["target"]) == (0, "< 1.3")


def test_a_mistake_is_one_line_that_says_what_there_is(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    house.put("4.1.0", *QUICK, subject="buy/baseline")
    house.put("4.2.0", *QUICK)
    house.put("4.2.0", *QUICK, subject="buy/baseline")
    house.put("4.3.0", *QUICK, subject="buy/peak")
    some = house.store.list("load", "look/baseline")[0].id
    mistakes = {
        ("4.1.0", "5.0"): "no load test of a release '5.0'; there are: 4.1.0, 4.2.0, 4.3.0; or",
        ("4.1.0", "0" * 26): f"no load test {'0' * 26}; `storewatch evidence list --kind load`",
        ("4.1.0", "4.2.0"): "there are runs of buy/baseline, look/baseline; name one with",
        ("4.1.0", "4.3.0"): "no subject in common: 4.1.0 has buy/baseline, look/baseline; 4.3.0",
        ("4.2.0", some): f"run {some} is on two sides",
        ("4.1.0", "4.3.0", "--subject", "buy/baseline"): "4.3.0 has no run of buy/baseline; it has",
    }
    for words, said in mistakes.items():
        answer = house.load("compare", *words)
        assert (answer.code, answer.stdout) == (2, "")
        assert answer.stderr.startswith(f"storewatch: {said}"), answer.stderr
        assert answer.stderr.count("\n") == 1
    assert house.load("compare", "4.1.0", "4.2.0", "--subject", "buy/baseline").code == 0


def test_the_history_shows_every_run_and_where_the_level_changed(house: Shelf) -> None:
    house.put("4.1.0", *QUICK)
    (spoilt,) = house.put("4.1.0", 9.0, invalid="INVALID: it was cut short")
    (other,) = house.put("4.1.0", 9.0, plan=OTHER_STAGES)
    first = house.put("4.2.0", *SLOW)[0]
    answer = house.load("history")
    assert answer.code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert [len(one) for one in (lines[1].split()[0], spoilt.id)] == [26, 26]
    assert f"left out: run {spoilt.id} (4.1.0) is INVALID: it was cut short" in lines
    assert any(
        one.startswith(f"left out: run {other.id} (4.1.0) has other stages") for one in lines
    )
    assert lines[-1].startswith(f"p95 +19.6% from run {first.id} (4.2.0) of ")
    assert "102 ms before, 122 ms after, p 0.00" in lines[-1]
    found = json.loads(house.load("history", "look/baseline", "--json").stdout)
    assert [one["id"] for one in found["runs"]] == [one.id for one in house.store.list("load")]
    assert [one["run"] for one in found["changes"]] == [first.id]
    assert found["runs"][0]["left_out"] is None


def test_a_short_history_and_a_level_one_say_so(house: Shelf) -> None:
    assert "no load test yet" in house.load("history").stderr
    house.put("4.1.0", *QUICK)
    assert "a change needs 5 runs before and after it; there are 5 comparable runs" in (
        house.load("history").stdout
    )
    house.put("4.1.0", *QUICK)
    assert "no change of p95 in 10 runs" in house.load("history").stdout
    assert "no load test of buy/peak; there are: look/baseline" in (
        house.load("history", "buy/peak").stderr
    )
    house.put("4.1.0", *QUICK, subject="buy/peak")
    assert "name a subject, one of buy/peak, look/baseline" in house.load("history").stderr


def test_only_the_newest_runs_of_a_long_history_are_looked_at() -> None:
    begun = datetime(2026, 11, 1, tzinfo=UTC)
    plan = {"stages": []}
    runs = [
        Run(str(n), "look/baseline", begun + n * timedelta(hours=1), Verdict.PASS, "", {
            "p95_s": 9.0 + n / 1000 if n < 10 else 0.1
        }, "", "", "here", "1", plan)
        for n in range(210)
    ]  # fmt: skip
    found = history(runs)
    assert (len(found.compared), found.compared[0].id, found.changes) == (200, "10", ())
