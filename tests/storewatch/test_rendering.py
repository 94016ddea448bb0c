"""What Grafana and Kubernetes get, made from the demo's settings."""

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

from storewatch.config import Config, load_config
from storewatch.rendering import dashboards, kubernetes_text, limits, shown, write_grafana
from storewatch.tools import find_program
from storewatch.wiring import Parts

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = "1.31"
OPERATOR = "monitoring.coreos.com/v1"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    return load_config(ROOT / "storewatch.yaml")


@pytest.fixture
def objects(config: Config) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(kubernetes_text(config.settings)))


def of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


def test_names_are_distinct_and_such_as_kubernetes_takes(objects: list[dict[str, Any]]) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    for _, name in names:
        assert name == name.lower()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_dashboards_are_config_maps_that_kubernetes_schema_accepts(
    objects: list[dict[str, Any]], config: Config
) -> None:
    maps = of(objects, "ConfigMap")
    assert len(maps) == len(shown(config.settings))
    for one in maps:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        (text,) = one["data"].values()
        assert json.loads(text)["panels"]


def test_the_rules_object_holds_what_prometheus_gets_and_promtool_accepts(
    objects: list[dict[str, Any]], config: Config, tmp_path: Path
) -> None:
    (rules,) = of(objects, "PrometheusRule")
    assert rules["spec"] == yaml.safe_load(Parts(config).rendered()["rules"])
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules["spec"]))
    argv = [str(find_program("promtool")), "check", "rules", str(tmp_path / "rules.yml")]
    assert subprocess.run(argv, check=False, capture_output=True).returncode == 0


def test_the_operators_objects_are_what_its_published_schemas_admit(
    objects: list[dict[str, Any]],
) -> None:
    own = [one for one in objects if one["apiVersion"] == OPERATOR]
    assert {one["kind"] for one in own} == {"PrometheusRule", "ServiceMonitor", "Probe"}
    for one in own:
        read = getattr(operator, one["kind"]).model_validate(one)
        # A key that the schema does not know is read by nobody.
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == one


def test_every_target_is_probed_under_the_labels_that_alerts_read(
    objects: list[dict[str, Any]], config: Config
) -> None:
    probed = {
        (*labels["labels"].values(), *labels["static"], one["spec"]["module"])
        for one in of(objects, "Probe")
        for labels in [one["spec"]["targets"]["staticConfig"]]
    }
    wanted = {
        (t.name, t.group, t.target, t.module) for t in config.settings.monitors.probes.targets
    }
    assert probed == wanted


def test_grafanas_folder_holds_dashboards_and_provisioning(config: Config, tmp_path: Path) -> None:
    written = write_grafana(config.settings, tmp_path / "grafana")
    names = {str(path.relative_to(tmp_path / "grafana")) for path in written}
    assert names == {
        *(f"dashboards/{uid}.json" for uid in dashboards(config.settings)),
        "provisioning/dashboards/storewatch.yaml",
        "provisioning/datasources/storewatch.yaml",
    }


def test_the_numbers_in_dashboards_are_those_of_the_settings(config: Config) -> None:
    found = limits(config.settings)
    assert found.replica_lag_s == config.settings.alerting.thresholds.replica_lag_max
    assert found.recovery_point_s == 1800
    assert found.load_p95_s == 0.2
    assert (found.response_s, found.error_ratio) == (0.2, 0.001)  # of alerting/slos/shop.yaml


def test_lines_of_response_time_and_failures_follow_the_service_levels(
    config: Config, tmp_path: Path
) -> None:
    shipped = (ROOT / "alerting" / "slos" / "shop.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(
        shipped.replace('le="0.2"', 'le="0.5"').replace("objective: 99.9", "objective: 99")
    )
    alerting = config.settings.alerting.model_copy(update={"slos": (own,)})
    found = limits(config.settings.model_copy(update={"alerting": alerting}))
    assert (found.response_s, found.error_ratio) == (0.5, 0.01)


def test_every_alert_that_a_panel_names_has_its_page(config: Config) -> None:
    alerts = {panel.alert for board in shown(config.settings) for panel in board.panels()}
    assert alerts - {""} <= set(Parts(config).runbooks.names())
