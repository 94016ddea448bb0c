"""What a release gate decides, apart from what it runs."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from alerting.budget_policy import PolicyLevel
from alerting.slo_status import SloStatus
from loadtests.past_runs import Run
from loadtests.settings import LoadSettings
from storewatch.config import load_config
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.core.targets import Target, Verdict
from storewatch.gate_findings import (
    alike,
    last_passed,
    measurements,
    of_budgets,
    of_newest,
    of_rehearsals,
)
from storewatch.gating import find_policy, held_for
from storewatch.wiring import Parts

ROOT = Path(__file__).resolve().parents[2]
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
    ("records", "verdict", "said"),
    [
        ([], Verdict.INCONCLUSIVE, "there is none; `storewatch drill run` makes one"),
        ([drill(Verdict.PASS, 2)], Verdict.PASS, "of cloud, 2 h ago"),
        ([drill(Verdict.PASS, 24)], Verdict.PASS, "of cloud, 24 h ago"),
        ([drill(Verdict.PASS, 25)], Verdict.FAIL, "asked is 24 h at most: `storewatch drill run`"),
        ([drill(Verdict.FAIL, 1), drill(Verdict.PASS, 2)], Verdict.FAIL, "it failed"),
        ([drill(Verdict.INCONCLUSIVE, 1), drill(Verdict.PASS, 2)], Verdict.PASS, "2 h ago"),
        ([drill(Verdict.INVALID, 1)], Verdict.INCONCLUSIVE, "there is none"),
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
    return Run(new_id(), subject, NOW, Verdict.PASS, release, {"p95_s": 0.1}, "", "cpus 2", plan)


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


def settings(*policy: dict[str, Any]) -> LoadSettings:
    profiles = {
        "baseline": {"rate": 5},
        "blend": {"rate": 5, "mix": {"checkout": 1}},
    }
    return LoadSettings.model_validate(
        {
            "base_url": "http://a",
            "journeys": {"checkout": "storefront.journeys:checkout"},
            "profiles": profiles,
            "policies": {"pre-launch": list(policy)},
        }
    )


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ([], "at least 1 item"),
        ([{}], "has nothing to require; write exactly one of load, compare, drill"),
        ([{"load": "checkout/baseline", "drill": "run"}], "has load and drill; write exactly one"),
        ([{"load": "checkout"}], "String should match pattern"),
        ([{"load": "checkout/peak"}], "no profile 'peak'; there are: baseline, blend"),
        ([{"load": "pay/baseline"}], "no journey 'pay'; there are: checkout"),
        ([{"load": "mix/baseline"}], "the profile baseline has no mix"),
        ([{"compare": "pay/baseline"}], "no journey 'pay'"),
        ([{"compare": "checkout/baseline", "times": 5}], "compare has no times; .* first_release"),
        ([{"drill": "run", "hold": "2h"}], "drill has no hold; beside it may stand: none"),
        ([{"drill": "soon"}], "write run, or {within: 24h}"),
        ([{"load": "checkout/baseline", "hold": "2"}], "not a duration"),
        ([{"error_budget": {"least": 10}}], "less than 1"),
        ([{"drill": "run"}, {"drill": {}}], "'restore drill' is there twice"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_what_is_right(
    policy: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(*policy)


def test_a_soak_of_another_length_is_no_run_of_its_profile() -> None:
    before = settings({"load": "mix/blend", "hold": "2h"})
    longer, name = held_for(before, "blend", 7200)
    assert name == "blend-7200s"
    assert longer.profiles[name].stages()[-1].duration_s == 7200
    assert longer.profiles["blend"] == before.profiles["blend"]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    return Parts(load_config(ROOT / "storewatch.yaml"))


def test_the_shipped_policy_asks_all_that_a_launch_needs(parts: Parts) -> None:
    assert [one.title for one in find_policy(parts, "pre-launch")] == [
        "load checkout/baseline",
        "load checkout/flash-sale",
        "load checkout/soak, hold 60 s",
        "compare checkout/baseline",
        "newest restore drill",
        "error budget all",
    ]


def test_an_unknown_slo_is_named_before_anything_is_run(parts: Parts) -> None:
    policy = settings({"error_budget": {"slo": "speed"}}).policies
    whole = parts.config.settings
    loadtests = whole.loadtests.model_copy(update={"policies": policy})
    changed = whole.model_copy(update={"loadtests": loadtests})
    with pytest.raises(UsageError, match="no SLO 'speed'; write all, or one of: shop-availability"):
        find_policy(Parts(replace(parts.config, settings=changed)), "pre-launch")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{drill: run}", r"pre-launch\[0\]: drill: run needs the section backup"),
        (
            "{proof: {name: x, within: 1d}}",
            r"pre-launch\[0\]: no proof 'x'; chaos.proofs has: none",
        ),
    ],
)
def test_a_policy_that_needs_another_section_is_refused_in_one_line(
    entry: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", "a token of many characters")
    starter = yaml.safe_load((ROOT / "storewatch" / "templates" / "starter.yaml").read_text())
    starter["loadtests"]["policies"] = {"pre-launch": [yaml.safe_load(entry)]}
    file = tmp_path / "storewatch.yaml"
    file.write_text(yaml.safe_dump(starter))
    with pytest.raises(UsageError, match=said) as refused:
        load_config(file)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_ci_examples_run_the_gate_and_keep_its_junit_file(name: str) -> None:
    text = (ROOT / "deploy" / "ci" / name).read_text()
    job = yaml.safe_load(text)
    job = job["jobs"]["gate"] if "jobs" in job else job["gate"]
    assert "storewatch load gate" in str(job.get("steps") or job["script"])
    kept = job.get("steps", [{}])[-2].get("with", {}).get("path") if "steps" in job else None
    assert "junit.xml" in (kept or job["artifacts"]["reports"]["junit"])


def test_the_snippets_of_the_how_to_are_of_the_examples() -> None:
    page = (ROOT / "docs" / "how-to" / "gate-a-release.md").read_text()
    blocks = [yaml.safe_load(part.split("```")[0]) for part in page.split("```yaml\n")[1:]]
    policy, github, gitlab = blocks
    settings(*[one for one in policy["loadtests"]["policies"]["pre-launch"] if "load" not in one])
    whole = yaml.safe_load((ROOT / "deploy" / "ci" / "github-actions.yml").read_text())
    shown, real = github["jobs"]["gate"], whole["jobs"]["gate"]
    assert shown["steps"][0]["run"] == real["steps"][0]["run"]
    assert {k: v for k, v in shown.items() if k != "steps"}.items() <= real.items()
    whole = yaml.safe_load((ROOT / "deploy" / "ci" / "gitlab-ci.yml").read_text())
    assert gitlab["gate"].items() <= whole["gate"].items()
