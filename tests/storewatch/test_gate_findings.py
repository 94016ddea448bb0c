"""What each requirement of a release gate is worth, apart from running it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerting.budget_policy import PolicyLevel
from alerting.slo_status import SloStatus
from loadtests.past_runs import Run
from storewatch.core.errors import BusyError, LoadError, StorewatchError, UnreachableError
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.core.targets import Target, Verdict
from storewatch.gate_findings import (
    Outcome,
    alike,
    last_passed,
    measurements,
    of_broken_off,
    of_budgets,
    of_newest,
    of_rehearsals,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY_S = 86_400.0


def evidence(
    verdict: Verdict,
    *found: Measurement,
    kind: str = "load",
    subject: str = "checkout/baseline",
    hours_ago: float = 1,
    notes: tuple[str, ...] = (),
    **context: Any,
) -> Evidence:
    started = NOW - timedelta(hours=hours_ago)
    return Evidence(
        new_id(), kind, subject, started, 1, found, (), context, notes, overrides=(verdict,)
    )


def p95(value: float | None) -> Measurement:
    return Measurement("p95_s", value, "s", Target("<", 0.2))


def drill(verdict: Verdict, hours_ago: float) -> Evidence:
    return evidence(verdict, kind="drill", subject="cloud", hours_ago=hours_ago)


def test_of_several_runs_the_worst_counts_and_is_named() -> None:
    runs = [
        evidence(Verdict.PASS, p95(0.1)),
        evidence(Verdict.FAIL, p95(0.3)),
        evidence(Verdict.PASS, p95(0.15)),
    ]
    found = of_rehearsals("load checkout/baseline", runs)
    assert found.verdict is Verdict.FAIL
    assert found.said == "p95_s is 300 ms, asked is < 0.2"
    assert [(m.name, m.value) for m in found.measurements] == [
        ("p95_s.load checkout/baseline", 0.3)
    ]
    assert all(run.id in found.note for run in runs)


def test_what_missed_its_target_is_shown_beside_the_key_figures() -> None:
    step = Measurement("p95_s.order", 0.3, "s", Target("<", 0.2))
    quick = Measurement("p95_s.look", 0.1, "s", Target("<", 0.2))
    found = of_rehearsals("load a/b", [evidence(Verdict.FAIL, p95(0.1), step, quick)])
    assert [m.name for m in found.measurements] == ["p95_s.load a/b", "p95_s.order.load a/b"]


def test_a_run_that_is_not_to_be_trusted_says_why() -> None:
    starved = evidence(Verdict.INVALID, p95(0.1), notes=("INVALID: the generator starved", "calm"))
    found = of_rehearsals("load a/b", [evidence(Verdict.FAIL, p95(0.3)), starved])
    assert found.verdict is Verdict.INVALID
    assert found.said.endswith("; the generator starved")
    assert found.measurements[0].value == 0.3


def test_a_pass_needs_no_words() -> None:
    assert of_rehearsals("load a/b", [evidence(Verdict.PASS, p95(0.1))]).said == ""


@pytest.mark.parametrize(
    ("error", "made", "verdict"),
    [
        (LoadError("it died"), [Verdict.PASS, Verdict.PASS], Verdict.FAIL),
        (BusyError("it died"), [Verdict.PASS, Verdict.PASS], Verdict.INCONCLUSIVE),
        (UnreachableError("it died"), [Verdict.PASS, Verdict.FAIL], Verdict.FAIL),
        (LoadError("it died"), [Verdict.INVALID, Verdict.PASS], Verdict.INVALID),
    ],
)
def test_what_was_made_before_an_error_stays_with_its_figures(
    error: StorewatchError, made: list[Verdict], verdict: Verdict
) -> None:
    runs = [evidence(one, p95(0.05 * n)) for n, one in enumerate(made, 1)]
    found = of_broken_off("load a/b", runs, error)
    assert found.verdict is verdict
    assert found.said.startswith("run 3: it died")
    assert found.evidence == tuple(runs)
    assert [(m.name, m.value) for m in found.measurements] == [("p95_s.load a/b", 0.1)]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (LoadError("it died"), Verdict.FAIL),
        (BusyError("it died"), Verdict.INCONCLUSIVE),
        (UnreachableError("it died"), Verdict.INCONCLUSIVE),
    ],
)
def test_what_could_not_be_asked_is_left_open_and_what_broke_off_failed(
    error: StorewatchError, verdict: Verdict
) -> None:
    assert of_broken_off("drill", (), error) == Outcome("drill", verdict, "it died")


@pytest.mark.parametrize(
    ("records", "verdict", "said"),
    [
        ([], Verdict.INCONCLUSIVE, "there is none; `storewatch drill run` makes one"),
        ([drill(Verdict.PASS, 2)], Verdict.PASS, "of cloud, 2 h ago"),
        ([drill(Verdict.PASS, 24)], Verdict.PASS, "of cloud, 24 h ago"),
        ([drill(Verdict.PASS, 25)], Verdict.FAIL, "asked is 24 h at most: `storewatch drill run`"),
        ([drill(Verdict.FAIL, 1), drill(Verdict.PASS, 2)], Verdict.FAIL, "it failed"),
        (
            [drill(Verdict.INCONCLUSIVE, 1), drill(Verdict.PASS, 2)],
            Verdict.INCONCLUSIVE,
            "of cloud, 1 h ago; it is INCONCLUSIVE and decides nothing: `storewatch drill run`",
        ),
        (
            [drill(Verdict.INVALID, 1), drill(Verdict.FAIL, 2)],
            Verdict.INCONCLUSIVE,
            "of cloud, 1 h ago; it is INVALID and decides nothing: `storewatch drill run` again",
        ),
        ([drill(Verdict.INVALID, 25), drill(Verdict.PASS, 26)], Verdict.FAIL, "24 h at most"),
    ],
)
def test_the_newest_drill_must_have_passed_and_be_fresh(
    records: list[Evidence], verdict: Verdict, said: str
) -> None:
    found = of_newest("newest restore drill", records, NOW, DAY_S, "storewatch drill run")
    assert found.verdict is verdict
    assert said in found.said
    (age,) = found.measurements
    assert (age.name, str(age.target)) == ("age_s.newest restore drill", "<= 86400")


@dataclass(frozen=True)
class NamedSlo:
    """As much of an SLO as the gate reads."""

    id: str


def budget(remaining: float | None, level: PolicyLevel | None = None, note: str = "") -> SloStatus:
    slo: Any = NamedSlo("shop-latency")
    return SloStatus(slo, remaining, 1.0, 20.0, 1000.0, level, note)


FREEZE = PolicyLevel(spent=0.5, action="releases wait", freeze=True)


@pytest.mark.parametrize(
    ("statuses", "verdict", "said"),
    [
        ([budget(0.1)], Verdict.PASS, ""),
        ([budget(0.09)], Verdict.FAIL, "shop-latency has 9 % left, asked is 10 %"),
        ([budget(-0.5)], Verdict.FAIL, "shop-latency has -50 % left, asked is 10 %"),
        ([budget(0.4, FREEZE)], Verdict.FAIL, "releases wait"),
        ([budget(None, note="no bucket")], Verdict.INCONCLUSIVE, "has no data: no bucket"),
        ([budget(0.9), budget(None)], Verdict.INCONCLUSIVE, "shop-latency has no data"),
        ([budget(None), budget(0.0)], Verdict.FAIL, "has 0 % left"),
        ([], Verdict.INCONCLUSIVE, ""),
    ],
)
def test_enough_of_each_error_budget_must_be_left_and_none_be_frozen(
    statuses: list[SloStatus], verdict: Verdict, said: str
) -> None:
    found = of_budgets("error budget all", statuses, 0.1)
    assert found.verdict is verdict
    assert said in found.said
    assert [m.value for m in found.measurements] == [one.remaining for one in statuses]


def test_the_gate_counts_its_requirements_and_shows_their_figures() -> None:
    outcomes = [
        of_rehearsals("load a/b", [evidence(Verdict.PASS, p95(0.1))]),
        of_newest("newest restore drill", [drill(Verdict.PASS, 30)], NOW, DAY_S, "x"),
        of_budgets("error budget all", [budget(None)], 0.1),
    ]
    found = {m.name: m.value for m in measurements(outcomes)}
    counts = {name.removeprefix("requirements_"): n for name, n in found.items() if n == 1}
    assert set(counts) == {"passed", "failed", "undecided"}
    assert {"p95_s.load a/b", "age_s.newest restore drill"} < set(found)
    assert found["error_budget_left_ratio.shop-latency"] is None


def gate(release: str, verdict: Verdict = Verdict.PASS, policy: str = "pre-launch") -> Evidence:
    return evidence(verdict, kind="gate", subject=policy, release=release)


@pytest.mark.parametrize(
    ("gates", "release"),
    [
        ([], None),
        ([gate("2")], None),
        ([gate("1", Verdict.FAIL)], None),
        ([gate("1", policy="nightly")], None),
        ([gate("2"), gate("1.2", Verdict.INCONCLUSIVE), gate("1.1"), gate("1.0")], "1.1"),
    ],
)
def test_the_last_other_release_that_passed_the_same_policy_is_compared_with(
    gates: list[Evidence], release: str | None
) -> None:
    assert last_passed(gates, "pre-launch", "2") == release


def run(release: str, stages: str = "x", subject: str = "a/b") -> Run:
    plan = {"stages": stages}
    values = {"p95_s": 0.1}
    return Run(new_id(), subject, NOW, Verdict.PASS, release, values, "", "", "cpus 2", "1", plan)


def test_all_runs_of_both_releases_that_are_like_the_newest_are_compared() -> None:
    runs = [run("1"), run("2"), run("1", stages="old"), run("1", subject="a/c"), run("2")]
    found = alike(runs, "a/b", "1", "2")
    assert not isinstance(found, str)
    assert [side.runs for side in found] == [(runs[0],), (runs[1], runs[4])]


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([run("1")], "2 has no run of a/b; require `load: a/b` before it"),
        ([run("2")], "1, which passed last, has no run of a/b to compare with"),
        ([run("1", stages="old"), run("2")], "to compare with: run .* has other stages than"),
    ],
)
def test_what_is_missing_for_a_comparison_is_said(runs: list[Run], said: str) -> None:
    found = alike(runs, "a/b", "1", "2")
    assert isinstance(found, str)
    assert re.search(said, found)
