"""Rules, scraping and dashboards as objects of the Prometheus operator and of Grafana's sidecar.

Source: monitoring.coreos.com/v1 PrometheusRule, ServiceMonitor and Probe; the label by which the
sidecar of Grafana's chart finds dashboards is `grafana_dashboard: "1"`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from monitors.settings import ProbeTarget

EXPORTER = "storewatch-exporter:18620"
"""The exporter's service."""

_OPERATOR = "monitoring.coreos.com/v1"
_LABELS = {"app.kubernetes.io/name": "storewatch", "app.kubernetes.io/part-of": "storewatch"}


def manifests(
    name: str,
    groups: Iterable[Mapping[str, Any]],
    dashboards: Mapping[str, str],
    *,
    scrape_interval: str,
    probes: Iterable[ProbeTarget],
) -> str:
    """Return the objects as one YAML text.

    Args:
        name: of the shop; every object's name begins with it.
        groups: rule groups.
        dashboards: JSON texts by uid.
        scrape_interval: in Prometheus' form.
        probes: what is probed.
    """
    objects = [
        _rules(name, groups),
        _monitor(name, scrape_interval),
        *(_probe(name, probe, scrape_interval) for probe in probes),
        *(_dashboard(name, uid, text) for uid, text in sorted(dashboards.items())),
    ]
    return yaml.safe_dump_all(objects, sort_keys=False, width=1000, allow_unicode=True)


def _object(api: str, kind: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": {**_LABELS, **labels}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


def _rules(name: str, groups: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        **_object(_OPERATOR, "PrometheusRule", f"{name}-storewatch", {}),
        "spec": {"groups": [dict(group) for group in groups]},
    }


def _monitor(name: str, interval: str) -> dict[str, Any]:
    return {
        **_object(_OPERATOR, "ServiceMonitor", f"{name}-storewatch", {}),
        "spec": {
            "selector": {
                "matchLabels": {**_LABELS, "app.kubernetes.io/component": "exporter"},
            },
            # The shipped alerts name the job `storewatch`.
            "endpoints": [
                {
                    "port": "metrics",
                    "path": "/metrics",
                    "interval": interval,
                    "relabelings": [{"targetLabel": "job", "replacement": "storewatch"}],
                }
            ],
        },
    }


def _probe(name: str, probe: ProbeTarget, interval: str) -> dict[str, Any]:
    return {
        **_object(_OPERATOR, "Probe", f"{name}-storewatch-{_dns(probe.name)}", {}),
        "spec": {
            "jobName": "storewatch-probe",
            "interval": interval,
            "module": probe.module,
            "prober": {"url": EXPORTER, "path": "/probe"},
            "targets": {
                "staticConfig": {
                    "static": [probe.target],
                    "labels": {"target": probe.name, "group": probe.group},
                }
            },
        },
    }


def _dashboard(name: str, uid: str, text: str) -> dict[str, Any]:
    return {
        **_object("v1", "ConfigMap", f"{name}-{uid}", {"grafana_dashboard": "1"}),
        "data": {f"{uid}.json": text},
    }


def _dns(text: str) -> str:
    """Return a name as Kubernetes wants it: letters, digits and hyphens."""
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
