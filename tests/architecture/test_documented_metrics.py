import re

from repository import ROOT, sources

REFERENCE = (ROOT / "docs" / "reference" / "metrics-and-alerts.md").read_text()
_NAME = re.compile(r'"((?:storewatch|probe|node|pg|redis)_[a-z0-9_]+)"')
# Names that are no metrics: a field of redis' INFO.
_OTHERS = {"redis_version"}


def exported() -> set[str]:
    """Return the names of metrics that stand whole in the exporter's code.

    What dashboards ask for is asked of the live stack, see tests/scenarios.
    """
    texts = [
        text
        for path, text in sources()
        if path.parts[0] == "monitors" and "dashboards" not in path.parts
    ]
    return {name for text in texts for name in _NAME.findall(text)} - _OTHERS


def test_the_reference_lists_every_metric_of_the_exporter() -> None:
    written = set(re.findall(r"\b(?:storewatch|probe|node|pg|redis)_[a-z0-9_]+", REFERENCE))
    assert len(exported()) > 60
    assert sorted(exported() - written) == []


def test_metrics_that_the_shipped_rules_read_are_in_the_reference() -> None:
    rules = [*(ROOT / "alerting").rglob("*.yaml")]
    read = {
        re.sub(r"_(?:total|bucket|count|sum)$", "", name)
        for path in rules
        for name in re.findall(r"\b(?:storewatch|probe|node|pg|redis)_[a-z0-9_]+", path.read_text())
    }
    assert read
    unknown = {n for n in read if n not in REFERENCE and n != "storewatch_business"}
    assert unknown == set()
