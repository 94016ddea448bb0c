import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.rules import render_rules
from alerting.settings import AlertSettings
from alerting.sli import Kind
from alerting.slo import Slo
from alerting.slo_files import load_slos
from storewatch.core.errors import AlertError

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "slos.md"


def source(query: str, **more: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}, **more}}


RATIO = {
    "counter": True,
    "bad": source('requests_total{code="500"}'),
    "total": source("requests_total"),
}
SLO: dict[str, Any] = {
    "apiVersion": "openslo/v1",
    "kind": "SLO",
    "metadata": {
        "name": "answers",
        "displayName": "Answers",
        "labels": {"app.kubernetes.io/part-of": "shop", "tags": ["web", "eu"]},
        "annotations": {"example.com/owner": "somebody"},
    },
    "spec": {
        "description": "Requests that are answered.",
        "service": "shop",
        "indicator": {"metadata": {"name": "answered"}, "spec": {"ratioMetric": RATIO}},
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [
            {"displayName": "for all", "target": 0.995},
            {"displayName": "for those who pay", "targetPercent": 99.9},
        ],
    },
}
SLI: dict[str, Any] = {
    "apiVersion": "openslo/v1",
    "kind": "SLI",
    "metadata": {"name": "answered"},
    "spec": {
        "ratioMetric": {
            **RATIO,
            "bad": {"metricSource": {"metricSourceRef": "ours", "spec": {"query": "bad_total"}}},
        }
    },
}
DATA_SOURCE: dict[str, Any] = {
    "apiVersion": "openslo/v1",
    "kind": "DataSource",
    "metadata": {"name": "ours"},
    "spec": {"type": "prometheus"},
}
SERVICE: dict[str, Any] = {
    "apiVersion": "openslo/v1",
    "kind": "Service",
    "metadata": {"name": "shop"},
    "spec": {"description": "The shop."},
}


def load(folder: Path, *documents: Any) -> list[Slo]:
    path = folder / "openslo.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return load_slos((path,))


def changed(path: str, value: Any, document: dict[str, Any] = SLO) -> dict[str, Any]:
    """Return a document with one key set; None takes it away."""
    new = copy.deepcopy(document)
    node: Any = new
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return new


def indicator(metric: dict[str, Any], **objective: Any) -> dict[str, Any]:
    spec = changed("spec.indicator.spec", metric)
    return changed("spec.objectives", [{"target": 0.99, **objective}], spec)


def test_each_objective_of_a_file_is_one_under_the_name_that_sloth_gives_it(tmp_path: Path) -> None:
    first, second = load(tmp_path, SLO)
    assert (first.id, first.objective, first.period_days) == ("shop-answers-0", 99.5, 28)
    assert (second.id, second.objective) == ("shop-answers-1", 99.9)
    assert first.spec == "openslo/v1"
    assert first.labels == {"app_kubernetes_io_part_of": "shop", "tags": "web,eu"}


def test_an_indicator_and_a_source_may_be_documents_of_their_own(tmp_path: Path) -> None:
    slo = changed("spec.indicator", None)
    slo["spec"]["indicatorRef"] = "answered"
    (tmp_path / "slo.yaml").write_text(yaml.safe_dump_all([slo, SERVICE]))
    (tmp_path / "sli.yaml").write_text(yaml.safe_dump_all([SLI, DATA_SOURCE]))
    found = load_slos((tmp_path / "slo.yaml", tmp_path / "sli.yaml"))
    assert "sum(rate(bad_total[{{.window}}]))" in found[0].sli.bad


def test_sloth_and_openslo_files_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(SLO))
    shipped = Path(__file__).parents[2] / "alerting" / "slos" / "shop.yaml"
    found = load_slos((tmp_path / "a.yaml", shipped))
    assert {slo.spec for slo in found} == {"openslo/v1", "prometheus/v1"}


@pytest.mark.parametrize(
    ("metric", "objective", "kind", "bad"),
    [
        (
            {
                "ratioMetric": {
                    "counter": True,
                    "good": source("ok_total"),
                    "total": source("sum by (zone) (all_total)"),
                }
            },
            {},
            Kind.EVENTS,
            "sum(rate(ok_total[{{.window}}]))",
        ),
        (
            {
                "ratioMetric": {
                    "good": source("g[{{.window}}]"),
                    "total": source("t[{{ .window }}]"),
                }
            },
            {},
            Kind.EVENTS,
            "g[{{.window}}]",
        ),
        (
            {
                "ratioMetric": {
                    "counter": True,
                    "good": source('took_bucket{le="0.3",path="/a/{id}"}'),
                    "total": source("took_count"),
                }
            },
            {},
            Kind.LATENCY,
            'rate(took_bucket{le="0.3",path="/a/{id}"}[{{.window}}])',
        ),
        ({"ratioMetric": {"bad": source("b"), "total": source("t")}}, {}, Kind.RATES, "(b)"),
        (
            {"ratioMetric": {"raw": source("r"), "rawType": "success"}},
            {},
            Kind.RAW,
            "1 - (r)",
        ),
        (
            {"thresholdMetric": source('took_bucket{job="shop"}')},
            {"op": "lte", "value": 0.3},
            Kind.LATENCY,
            'took_bucket{job="shop",le="0.3"}',
        ),
        (
            {"thresholdMetric": source("took_bucket")},
            {"op": "lte", "value": 2},
            Kind.LATENCY,
            r'le=~"2(\\.0)?"',
        ),
        (
            {"thresholdMetric": source("queue")},
            {"op": "lt", "value": 5},
            Kind.SAMPLES,
            "(queue) >= 5.0",
        ),
        (
            {"thresholdMetric": source("avg_over_time(free[{{.window}}])")},
            {"op": "gt", "value": 5},
            Kind.SAMPLES,
            "(avg_over_time(free[5m])) <= 5.0",
        ),
    ],
)
def test_what_an_indicator_counts_follows_from_how_it_is_written(
    tmp_path: Path, metric: dict[str, Any], objective: dict[str, Any], kind: Kind, bad: str
) -> None:
    (slo,) = load(tmp_path, indicator(metric, **objective))
    assert slo.sli.kind is kind
    assert bad in slo.sli.bad


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed("spec.alertPolicies", []), "spec.alertPolicies: not supported; alerts follow"),
        (changed("kind", "AlertPolicy"), "kind: not supported; alerts follow the burn-rate"),
        (changed("kind", "Dashboard"), "kind: 'Dashboard'; expected one of SLO, SLI, DataSource"),
        (changed("spec.colour", 1), "spec.colour: unknown key"),
        (changed("metadata.name", None), "metadata.name: missing"),
        (changed("spec.budgetingMethod", "Timeslices"), "spec.budgetingMethod: Input should be"),
        (
            changed("spec.objectives.0.timeSliceTarget", 1),
            "timeSliceTarget: not supported; budgets",
        ),
        (changed("spec.objectives.0.targetPercent", 99), "write target (0.999) or targetPercent"),
        (changed("spec.objectives.0.target", 1), "spec.objectives.0.target: Input should be less"),
        (
            changed("spec.timeWindow.0.duration", "1M"),
            "spec.timeWindow.0.duration: Input should be",
        ),
        (changed("spec.timeWindow.0.isRolling", False), "spec.timeWindow.0.isRolling"),
        (changed("spec.timeWindow.0.calendar", {}), "calendar: not supported; error budgets roll"),
        (changed("spec.indicator", None), "name one of indicator and indicatorRef"),
        (
            changed("spec.indicator.spec.ratioMetric.total", None),
            "write total with one of good and",
        ),
        (changed("spec.indicator.spec.ratioMetric.raw", source("r")), "raw stands alone"),
        (changed("spec.indicator.spec.ratioMetric.median", 1), "ratioMetric.median: unknown key"),
        (
            changed("spec.indicator.spec.ratioMetric.bad.metricSource.type", "Datadog"),
            "ratioMetric.bad.metricSource.type: String should match",
        ),
        (
            changed("spec.indicator.spec.ratioMetric.bad.metricSource.spec.region", "eu"),
            "ratioMetric.bad.metricSource.spec.region: unknown key",
        ),
        (
            changed("spec.indicator.spec.ratioMetric.bad.metricSource.type", None),
            "spec.indicator.spec.ratioMetric.bad.metricSource: no type, and no DataSource None",
        ),
        (
            changed("spec.indicator.spec.ratioMetric.bad.metricSource.spec.query", "rate(x[5m])"),
            "bad.metricSource.spec.query: 'rate(x[5m])': no counter; write requests_total{...}",
        ),
        (
            indicator({"ratioMetric": {"bad": source("b"), "total": source("t[{{.window}}]")}}),
            "ratioMetric: bad and total must both be over {{.window}}, or none",
        ),
        (
            indicator({"ratioMetric": RATIO}, op="lt", value=1),
            "op and value of an objective are for",
        ),
        (indicator({"thresholdMetric": source("q")}), "the objective needs op and value"),
        (
            indicator({"thresholdMetric": source("q_bucket")}, op="lt", value=1),
            "op: lt; a bucket counts up to its bound: write lte",
        ),
        (
            changed("spec.connectionDetails", {}, DATA_SOURCE),
            "connectionDetails: not supported; the",
        ),
        (changed("spec.type", "Datadog", DATA_SOURCE), "spec.type: String should match"),
    ],
)
def test_what_is_not_supported_is_refused_with_file_document_and_key(
    tmp_path: Path, document: dict[str, Any], said: str
) -> None:
    with pytest.raises(AlertError) as caught:
        load(tmp_path, document)
    assert str(caught.value).startswith(f"{tmp_path / 'openslo.yaml'}: {document['kind']} ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_indicator_that_is_referred_to_must_be_there(tmp_path: Path) -> None:
    slo = changed("spec.indicator", None)
    slo["spec"]["indicatorRef"] = "other"
    with pytest.raises(AlertError, match=r"indicatorRef: no SLI 'other' .* there are: answered"):
        load(tmp_path, slo, SLI, DATA_SOURCE)


def test_the_examples_of_the_reference_are_right(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(), re.M | re.S)
    paths = []
    for number, block in enumerate(blocks):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(block)
    assert {slo.spec for slo in load_slos(tuple(paths))} == {"openslo/v1", "prometheus/v1"}


def test_equal_files_give_equal_rules(tmp_path: Path) -> None:
    path = tmp_path / "openslo.yaml"
    path.write_text(yaml.safe_dump_all([SLO, SERVICE]))
    maintenance = [{"name": "night", "times": ["01:00-02:00"], "time_zone": "America/New_York"}]
    given = {"slos": [str(path)], "maintenance": maintenance}
    texts = {render_rules(AlertSettings.model_validate(given)) for _ in range(3)}
    assert len(texts) == 1
