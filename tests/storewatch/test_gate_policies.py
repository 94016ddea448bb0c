"""What a policy of the release gate may ask, and what the shipped one and the examples do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from loadtests.settings import LoadSettings
from storewatch.config import load_config
from storewatch.core.errors import UsageError
from storewatch.gating import find_policy, held_for
from storewatch.wiring import Parts

ROOT = Path(__file__).resolve().parents[2]


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
        ([{"compare": "checkout/baseline", "workers": 2}], "compare has no workers"),
        ([{"load": "checkout/baseline", "workers": 0}], "greater than or equal to 1"),
        ([{"load": "checkout/baseline", "workers": 257}], "less than or equal to 256"),
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
