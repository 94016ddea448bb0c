import importlib
import re
from pathlib import Path

import pytest
import yaml
from repository import ROOT

from alerting.rules import alert_names, compile_rules
from alerting.slo import DEFAULT_ALERT
from runbooks.page import SECTIONS, SHIPPED, Library
from storewatch.config import Config, load_config
from storewatch.proving import find_proof
from storewatch.wiring import REPAIR_SECTIONS, Parts

REFERENCE = (ROOT / "docs" / "reference" / "metrics-and-alerts.md").read_text()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The demo's configuration with a state folder of the test's own."""
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    return load_config(ROOT / "storewatch.yaml")


def test_every_alert_has_a_page_and_every_page_an_alert(config: Config) -> None:
    assert Library().names() == sorted([*alert_names(config.settings.alerting), DEFAULT_ALERT])


def test_every_alert_names_its_page(config: Config) -> None:
    groups = compile_rules(config.settings.alerting)["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    wrong = [
        rule["alert"]
        for rule in alerts
        if rule["annotations"]["runbook"] != f"runbooks/pages/{rule['alert']}.md"
        or not (ROOT / rule["annotations"]["runbook"]).is_file()
    ]
    assert wrong == []


@pytest.mark.parametrize("name", Library().names())
def test_a_page_has_every_section_and_can_repair_and_verify(name: str) -> None:
    page = Library().page(name)
    assert page.alert == name
    assert page.sections == SECTIONS
    assert {step.section for step in page.steps} & {"diagnosis", *REPAIR_SECTIONS}


def test_every_proof_names_an_alert_a_page_and_an_experiment(config: Config) -> None:
    settings, library = config.settings, Library()
    assert settings.chaos.proofs
    walked = {journey.name for journey in settings.monitors.journeys}
    for name, proof in settings.chaos.proofs.items():
        assert proof.alert["alertname"] in alert_names(settings.alerting), name
        page = library.page(proof.runbook)
        assert any(step.section == "mitigation" for step in page.steps), name
        assert set(proof.parameters) <= {parameter.name for parameter in page.parameters}, name
        assert proof.journey in walked, name
        assert find_proof(Parts(config), name).experiment.is_file(), name


def test_every_experiment_is_proven_and_calls_functions_that_exist(config: Config) -> None:
    folder = ROOT / "chaos" / "experiments"
    used = {str(proof.experiment) for proof in config.settings.chaos.proofs.values()}
    assert used == {path.name for path in folder.glob("*.yaml")}
    for path in folder.glob("*.yaml"):
        experiment = yaml.safe_load(path.read_text())
        for activity in [*experiment["method"], *experiment["rollbacks"]]:
            provider = activity["provider"]
            module = importlib.import_module(provider["module"])
            assert callable(getattr(module, provider["func"])), path.name


def test_a_repair_uses_operators_means_only(config: Config) -> None:
    for proof in config.settings.chaos.proofs.values():
        steps = Library().page(proof.runbook).steps
        commands = [command for step in steps for command in step.commands]
        assert not [command for command in commands if "chaos" in command or "switch" in command]


def test_the_reference_lists_every_alert_with_its_page_and_severity(config: Config) -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(\.\./\.\./runbooks/pages/(\w+)\.md\) \| ([a-z, ]+) \|", REFERENCE, re.M
    )
    severities: dict[str, set[str]] = {}
    for group in compile_rules(config.settings.alerting)["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                severities.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    assert {name: set(kinds.split(", ")) for name, _, kinds in rows} == severities
    assert [name for name, page, _ in rows if name != page] == []


def test_the_pages_are_where_the_code_looks_for_them() -> None:
    assert ROOT / "runbooks" / "pages" == SHIPPED
