from pathlib import Path

import pytest

from runbooks.page import SECTIONS, SHIPPED, Library, read_page
from storewatch.core.errors import RunbookError, UsageError

FRONT = """alert: InstanceDown
severity: page
owner_role: junior on-call
"""
BODY = """# An instance is down

## Meaning
It does not answer.

```sh
storewatch status   # no annotation: for people only
```

## Mitigation
Restart it.

```sh {"name":"restart","section":"mitigation"}
# first the one
storewatch processes restart $instance

storewatch processes \\
  start $instance
```

```sh {"name":"look","section":"verify"}
storewatch status
```
"""


def write(folder: Path, front: str = FRONT, body: str = BODY, name: str = "InstanceDown") -> Path:
    path = folder / f"{name}.md"
    path.write_text(f"---\n{front}---\n{body}")
    return path


def step(annotation: str, command: str = "storewatch status") -> str:
    return f"# Title\n\n```sh {annotation}\n{command}\n```\n"


def test_a_page_is_its_front_matter_its_sections_and_its_steps(tmp_path: Path) -> None:
    front = FRONT + "parameters:\n  instance: {pattern: 'app-[12]', default: app-1}\n"
    page = read_page(write(tmp_path, front))
    assert (page.alert, page.severity, page.owner_role) == (
        "InstanceDown",
        "page",
        "junior on-call",
    )
    assert page.title == "An instance is down"
    assert page.sections == ("meaning", "mitigation")
    (instance,) = page.parameters
    assert (instance.name, instance.pattern, instance.default) == ("instance", "app-[12]", "app-1")
    restart, look = page.steps
    assert (restart.name, restart.section) == ("restart", "mitigation")
    assert restart.commands == (
        "storewatch processes restart $instance",
        "storewatch processes    start $instance",
    )
    assert look.commands == ("storewatch status",)


def test_rules_of_dashes_in_the_text_are_no_front_matter(tmp_path: Path) -> None:
    front = FRONT + 'note: "a --- b ---"\n'
    assert "---\n" in read_page(write(tmp_path, front, "# Title\n\n---\n\nText\n")).text


@pytest.mark.parametrize(
    ("front", "body", "said"),
    [
        ("", BODY, "the front matter is no mapping"),
        ("- a\n- b\n", BODY, "the front matter is no mapping"),
        ("alert: [\n", BODY, "the front matter is no YAML"),
        ("alert: A\n", BODY, "front matter: 'severity' is missing or wrong"),
        (FRONT + "parameters: [instance]\n", BODY, "parameters: write a mapping such as"),
        (FRONT + "parameters: {instance: app}\n", BODY, "parameters: write a mapping such as"),
        (FRONT + "parameters: {instance: {}}\n", BODY, "'pattern' is missing or wrong"),
        (FRONT + "parameters: {instance: {pattern: '['}}\n", BODY, "parameter instance: "),
        (
            FRONT + "parameters: {n: {pattern: 'app-[12]', default: app-3}}\n",
            BODY,
            "parameter n: .*'app-3' does not match",
        ),
        (FRONT, step('{"name":"x"'), "write ```sh"),
        (FRONT, step('{"name":"x"}'), "write ```sh"),
        (FRONT, step('{"name":"x","section":"hope"}'), "step x: section 'hope'; use one of"),
        (FRONT, step('{"name":"x","section":"verify"}', "# nothing"), "step x has no command"),
        (
            FRONT,
            step('{"name":"x","section":"verify"}', "storewatch 'status"),
            "step x: .*No closing quotation",
        ),
        (
            FRONT,
            step('{"name":"x","section":"verify"}', "storewatch status | grep app"),
            r"step x: .*: \| needs a shell and there is none",
        ),
        (
            FRONT,
            step('{"name":"x","section":"verify"}', "storewatch status && true"),
            "step x: .*: && needs a shell",
        ),
    ],
)
def test_a_malformed_page_is_refused_in_one_line_that_names_it(
    tmp_path: Path, front: str, body: str, said: str
) -> None:
    with pytest.raises(RunbookError, match=f"InstanceDown.md: .*{said}") as caught:
        read_page(write(tmp_path, front, body))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# Title\n", "---\nalert: A\n", "x\n---\na: b\n---\n"])
def test_a_page_without_front_matter_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "A.md"
    path.write_text(text)
    with pytest.raises(RunbookError, match=r"A\.md: starts with no front matter"):
        read_page(path)


def test_a_page_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match=r"A\.md: No such file"):
        read_page(tmp_path / "A.md")
    (tmp_path / "A.md").write_bytes(b"---\nalert: \xff\n---\n")
    with pytest.raises(RunbookError, match=r"A\.md: not UTF-8 text"):
        read_page(tmp_path / "A.md")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.md")), ids=lambda path: path.stem)
def test_every_shipped_page_is_read_and_has_every_section_in_order(path: Path) -> None:
    page = read_page(path)
    assert page.alert == path.stem
    assert [section for section in page.sections if section in SECTIONS] == list(SECTIONS)


def test_own_pages_come_before_the_shipped_ones(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, FRONT.replace("InstanceDown", "Our-Own"), name="Our-Own")
    library = Library((tmp_path,))
    assert library.page("InstanceDown").path == tmp_path / "InstanceDown.md"
    assert library.page("RedisDown").path == SHIPPED / "RedisDown.md"
    assert {"Our-Own", "InstanceDown", "RedisDown"} <= set(library.names())
    assert all(library.page(name) for name in library.names())


@pytest.mark.parametrize("name", ["", "Nobody", "../pages/RedisDown", "..", "/etc/passwd", "*"])
def test_a_page_that_does_not_exist_is_one_line(name: str) -> None:
    with pytest.raises(UsageError, match=r"no runbook page .*; `storewatch runbook list` names"):
        Library().page(name)
