"""Settings -> Prometheus' configuration and command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alerting.own_prometheus import add_jobs, own_files
from alerting.settings import AlertSettings

JOB = "storewatch"
"""The exporter's job; the shipped alerts name it."""
PROBE_JOB = "storewatch-probe"
"""The job of the probes, which take place while they are scraped."""

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Something that is probed: `target` by `module`, known to alerts by `name` and `group`."""

    name: str
    group: str
    module: str
    target: str


def duration(seconds: float) -> str:
    """Return a duration as Prometheus and Alertmanager read it: 250ms, 5s, 1h30m, 35d."""
    rest, text = round(seconds * 1000), ""
    for unit, milliseconds in _UNITS_MS:
        count, rest = divmod(rest, milliseconds)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def prometheus_config(
    settings: AlertSettings,
    rules_file: Path,
    exporter: tuple[str, int],
    probes: Sequence[ProbeTarget] = (),
) -> dict[str, Any]:
    """Return Prometheus' configuration, without the scrape jobs of one's own.

    Args:
        settings: intervals, addresses and rule files of one's own.
        rules_file: the file of `alerting.rules.render_rules`.
        exporter: host and port of the exporter.
        probes: what the exporter probes.

    Raises:
        AlertError: a rule file of one's own is not there.
    """
    own, manager = settings.prometheus, settings.alertmanager

    def targets(address: tuple[str, int]) -> list[dict[str, Any]]:
        return [{"targets": [f"{address[0]}:{address[1]}"]}]

    return {
        "global": {
            "scrape_interval": duration(own.scrape_interval),
            "scrape_timeout": duration(min(10.0, own.scrape_interval * 0.8)),
            "evaluation_interval": duration(own.evaluation_interval),
        },
        "alerting": {"alertmanagers": [{"static_configs": targets(manager.listen)}]},
        "rule_files": [str(rules_file), *map(str, own_files("rule_files", own.rule_files))],
        "scrape_configs": [
            {"job_name": JOB, "static_configs": targets(exporter)},
            *([_probe_job(exporter, probes)] if probes else []),
            {"job_name": "prometheus", "static_configs": targets(own.listen)},
            {"job_name": "alertmanager", "static_configs": targets(manager.listen)},
        ],
    }


def _probe_job(exporter: tuple[str, int], probes: Sequence[ProbeTarget]) -> dict[str, Any]:
    """Return the job that asks the exporter to probe: each target by its module.

    Source: blackbox_exporter's README, "Prometheus Configuration".
    """
    return {
        "job_name": PROBE_JOB,
        "metrics_path": "/probe",
        "static_configs": [
            {
                "targets": [probe.target],
                "labels": {
                    "target": probe.name,
                    "group": probe.group,
                    "__param_module": probe.module,
                },
            }
            for probe in probes
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": f"{exporter[0]}:{exporter[1]}"},
        ],
    }


def render_prometheus(
    settings: AlertSettings,
    rules_file: Path,
    exporter: tuple[str, int],
    probes: Sequence[ProbeTarget] = (),
    *,
    secrets: bool = True,
) -> str:
    """Return Prometheus' configuration as YAML.

    Args:
        settings: intervals, addresses, rule files and scrape jobs of one's own.
        rules_file: the file of `alerting.rules.render_rules`.
        exporter: host and port of the exporter.
        probes: what the exporter probes.
        secrets: whether scrape jobs of one's own keep their secrets; then it belongs into a file
            that only Prometheus' account reads.

    Raises:
        AlertError: a file of one's own is not there, or holds no scrape jobs.
    """
    config = prometheus_config(settings, rules_file, exporter, probes)
    text = yaml.safe_dump(config, sort_keys=False)
    patterns = settings.prometheus.scrape_config_files
    if not patterns:
        return text
    return add_jobs(text, own_files("scrape_config_files", patterns), secrets=secrets)


def prometheus_argv(settings: AlertSettings, program: Path, config: Path, data: Path) -> list[str]:
    """Return the command line of Prometheus.

    The web interface of an unpacked Debian package lies beside its program.
    """
    host, port = settings.prometheus.listen
    argv = [
        str(program),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={duration(settings.prometheus.retention)}",
        f"--web.listen-address={host}:{port}",
    ]
    assets = program.resolve().parents[1] / "share" / "prometheus" / "web"
    if assets.is_dir():
        argv.append(f"--web.local-assets={assets}")
    return argv
