"""The page of faults names tests that there are."""

import ast
import re

import pytest
from repository import ROOT

PAGE = (ROOT / "docs" / "reference" / "backup-faults.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_holds_a_fault_exists(file: str, name: str) -> None:
    module = ast.parse((ROOT / file).read_text())
    assert name in {one.name for one in module.body if isinstance(one, ast.FunctionDef)}


def test_every_fault_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) > 80
    assert all("::test_" in row for row in rows)
