import importlib.util
import shlex
from pathlib import Path

import click
import pytest

from alerting.rules import compile_rules
from alerting.settings import AlertSettings
from alerting.slo import DEFAULT_ALERT
from runbooks.page import SECTIONS, Page, read_page
from runbooks.runner import argv
from storewatch.cli.main import cli

FOLDER = Path(__file__).parents[2] / "runbooks" / "pages"
PAGES = [read_page(path) for path in sorted(FOLDER.glob("*.md"))]
COMMANDS = [(page, command) for page in PAGES for step in page.steps for command in step.commands]
SEVERITIES = {
    (rule["alert"], rule["labels"]["severity"])
    for group in compile_rules(AlertSettings())["groups"]
    for rule in group["rules"]
    if "alert" in rule
} | {(DEFAULT_ALERT, "page")}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.alert)
every_command = pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page.alert}: {command}" for page, command in COMMANDS]
)


@every_page
def test_a_page_is_named_as_its_alert_and_says_how_loud_it_is(page: Page) -> None:
    assert page.alert == page.path.stem
    assert (page.alert, page.severity) in SEVERITIES


@every_page
def test_a_page_has_every_section_in_order(page: Page) -> None:
    assert page.sections == SECTIONS


@every_page
def test_a_page_names_who_is_first_in_line(page: Page) -> None:
    assert page.owner_role in {f"{tier} on-call" for tier in ("junior", "intermediate", "senior")}


@every_page
def test_a_page_has_something_to_run_to_diagnose_and_to_verify(page: Page) -> None:
    sections = [step.section for step in page.steps]
    assert {"diagnosis", "verify"} <= set(sections) or page.alert == "PaymentProviderDown"
    assert len({step.name for step in page.steps}) == len(page.steps)


def samples(page: Page) -> dict[str, str]:
    """Return a value for each parameter; what a command would print is stood in for."""
    return {
        parameter.name: "asked-for" if parameter.default_from else parameter.check(None)
        for parameter in page.parameters
    }


@every_command
def test_a_commands_placeholders_are_parameters_that_need_no_hand(page: Page, command: str) -> None:
    assert "$" not in shlex.join(argv(command, samples(page)))


@every_page
def test_a_parameter_that_is_asked_for_is_asked_by_a_command_that_exists(page: Page) -> None:
    for parameter in page.parameters:
        if parameter.default_from is not None:
            words = shlex.split(parameter.default_from)
            assert words[:2] == ["python", "-m"]
            assert importlib.util.find_spec(words[2])


@every_command
def test_a_command_exists(page: Page, command: str) -> None:
    values = samples(page)
    words = shlex.split(command)
    if words[0] == "python":
        assert words[1] == "-m"
        assert importlib.util.find_spec(words[2]), f"there is no module {words[2]}"
        return
    assert words[0] == "storewatch"
    found: click.Command = cli
    rest = [values.get(word.removeprefix("$"), word) for word in words[1:]]
    context = click.Context(found)
    while isinstance(found, click.Group):
        name, command_found, rest = found.resolve_command(context, rest)
        assert command_found is not None, f"{command}: no {name}"
        found = command_found
        context = click.Context(found, parent=context)
    found.make_parser(context).parse_args(list(rest))
