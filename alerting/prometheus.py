"""Settings -> Prometheus' configuration and command line."""

from pathlib import Path
from typing import Any

import yaml

from alerting.settings import AlertSettings

JOB = "storewatch"
"""The exporter's job; the shipped alerts name it."""


def duration(seconds: float) -> str:
    """Return a duration as Prometheus and Alertmanager read it: 5s, 250ms."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def prometheus_config(
    settings: AlertSettings, rules_file: Path, exporter: tuple[str, int]
) -> dict[str, Any]:
    """Return Prometheus' configuration.

    Args:
        settings: intervals and addresses.
        rules_file: the file of `alerting.rules.render_rules`.
        exporter: host and port of the exporter.
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
        "rule_files": [str(rules_file)],
        "scrape_configs": [
            {"job_name": JOB, "static_configs": targets(exporter)},
            {"job_name": "prometheus", "static_configs": targets(own.listen)},
            {"job_name": "alertmanager", "static_configs": targets(manager.listen)},
        ],
    }


def render_prometheus(settings: AlertSettings, rules_file: Path, exporter: tuple[str, int]) -> str:
    """Return Prometheus' configuration as YAML."""
    return yaml.safe_dump(prometheus_config(settings, rules_file, exporter), sort_keys=False)


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
