import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import ROOT, documents, texts

_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.M | re.S)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)

# In pieces, so that this file does not name them.
_MACHINES = re.compile(
    "|".join((
        "/wo" + "rk/", "/ro" + "ot/", "/ho" + r"me/[a-z]", "/Us" + "ers/", "/tmp/" + "bash_",
        r"https?://\S*(?:py" + "pi|python" + "hosted|arti" + r"factory|ne" + "xus|dev" + "pi)",
        r"--(?:extra-)?in" + r"dex-url[ =]+\S*:", "trusted-ho" + r"st[ =]+\w",
    ))
)  # fmt: skip


def slugs(text: str) -> set[str]:
    """Return the anchors of a document as Git hosts make them."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


def broken_links(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Return the links of a document that lead nowhere in the repository."""
    for link in _LINK.findall(_FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or not target.is_relative_to(root):
            yield f"{link}: no such file"
        elif anchor and anchor not in slugs(target.read_text()):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    assert list(broken_links(path)) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n[one](nowhere.md) [two](#a-page) [three](#another)\n")
    assert [line.partition(":")[0] for line in broken_links(page, tmp_path)] == [
        "nowhere.md",
        "#another",
    ]


def test_every_document_is_reachable_from_the_readme() -> None:
    seen, open_ = set(), [ROOT / "README.md"]
    while open_:
        path = open_.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        links = _LINK.findall(path.read_text())
        open_ += [(path.parent / link.partition("#")[0]).resolve() for link in links]
    pages = {path for path in documents() if "pages" not in path.parts}
    assert sorted(str(p.relative_to(ROOT)) for p in pages - seen) == []


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [p.name for p in pictures if p.stat().st_size > 150_000] == []


@pytest.mark.parametrize(
    "text", ["see /wo" + "rk/main", "from /ro" + "ot/x", "https://py" + "pi.org/simple"]
)
def test_a_name_of_a_machine_or_a_registry_is_noticed(text: str) -> None:
    assert _MACHINES.search(text)


def test_nothing_in_the_repository_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if _MACHINES.search(line)
    ]
    assert found == []


def test_the_newest_change_is_of_this_version() -> None:
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert newest and version and newest[1] == version[1]


def test_make_help_names_the_commands_of_the_readme() -> None:
    done = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"demo", "test", "check", "bench"} <= set(re.findall(r"make (\w+)", done.stdout))
