"""The pages of what goes wrong elsewhere name tests that there are."""

import ast
import re
from itertools import pairwise

import pytest
from repository import ROOT

REFERENCE = ROOT / "docs" / "reference"
PAGES = {"backup-faults.md": 80, "load-mistakes.md": 25}  # with so many rows at least
TEXTS = {name: (REFERENCE / name).read_text() for name in PAGES}
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", "\n".join(TEXTS.values()))))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    module = ast.parse((ROOT / file).read_text())
    assert name in {one.name for one in module.body if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_every_row_has_a_test(page: str) -> None:
    lines = TEXTS[page].splitlines()
    rows = [a for a, b in pairwise([*lines, ""]) if a.startswith("| ") and "|---" not in b]
    assert len(rows) >= PAGES[page]
    assert all("::test_" in row for row in rows)
