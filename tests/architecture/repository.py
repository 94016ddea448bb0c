"""The repository as these tests see it."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "storewatch",
    "monitors",
    "alerting",
    "runbooks",
    "loadtests",
    "backup",
    "chaos",
    "console",
    "storefront",
)
# Made by tools or by running; never committed (.gitignore).
_MADE = {"var", "dist", "build", "__pycache__", ".git", ".venv"}
_MADE_SUFFIXES = ("_cache", ".egg-info")
_BINARY = {".png", ".pyc"}


def files(folder: Path = ROOT, pattern: str = "*") -> Iterator[Path]:
    """Return the files of a folder that belong to the repository, sorted."""
    found = []
    for parent, names, leaves in os.walk(folder):
        names[:] = [n for n in names if n not in _MADE and not n.endswith(_MADE_SUFFIXES)]
        found += [Path(parent) / leaf for leaf in leaves]
    return (path for path in sorted(found) if path.match(pattern) and path.suffix != ".pyc")


def texts() -> Iterator[tuple[Path, str]]:
    """Return every text file of the repository with its content."""
    for path in files():
        if path.suffix not in _BINARY:
            yield path.relative_to(ROOT), path.read_text()


def sources() -> Iterator[tuple[Path, str]]:
    """Return every Python file of our packages with its content."""
    for package in PACKAGES:
        for path in files(ROOT / package, "*.py"):
            yield path.relative_to(ROOT), path.read_text()


def documents() -> list[Path]:
    """Return the documents that people read: at the top, in docs/, and the runbook pages."""
    found = [*ROOT.glob("*.md"), *files(ROOT / "docs", "*.md")]
    return sorted([*found, *files(ROOT / "runbooks" / "pages", "*.md")])
