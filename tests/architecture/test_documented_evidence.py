"""The page of evidence names every kind of record there is, and what each measures."""

import re

from repository import ROOT

from storewatch.core.evidence import KINDS

PAGE = (ROOT / "docs" / "reference" / "evidence.md").read_text()


def kinds_of_the_page() -> tuple[set[str], set[str]]:
    """Return the kinds that the page says are written, and those that are reserved."""
    (row,) = re.findall(r"^\| `kind` \|(.*)\|$", PAGE, re.MULTILINE)
    written, _, reserved = row.partition(". ")
    return set(re.findall(r"`(\w+)`", written)), set(re.findall(r"`(\w+)`", reserved))


def test_every_kind_of_evidence_is_documented() -> None:
    written, reserved = kinds_of_the_page()
    assert written | reserved == set(KINDS)
    assert not written & reserved


def test_every_kind_that_is_written_has_a_row_with_its_measurements() -> None:
    table = PAGE.partition("## Names of measurements")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(firsts))) == kinds_of_the_page()[0]
