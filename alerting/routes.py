"""Settings -> Alertmanager's configuration: who is told of what, and what is not worth telling."""

from pathlib import Path
from typing import Any

import yaml

from alerting.prometheus import duration
from alerting.settings import AlertmanagerSettings, Timing
from alerting.windows import Severity

GROUP_BY = (
    "alertname",
    "collector",
    "invariant",
    "journey",
    "kind",
    "node",
    "provider",
    "severity",
    "sign",
    "sloth_id",
    "subject",
    "target",
)
"""An incident is an alert's name and what tells its instances apart."""

INHIBITIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "DatabasePrimaryDown",
        ("DatabaseReplicaLagging", "InstanceDown", "MonitoringDataMissing", "StockBelowSafety"),
        (),
    ),
    ("ExporterDown", ("JourneyStale", "MonitoringDataMissing"), ()),
)
"""(cause, consequences, labels that must be equal). Only tickets are ever silenced: a page says
what customers feel, and stays heard whatever its cause."""


def alertmanager_config(settings: AlertmanagerSettings, credentials_file: Path) -> dict[str, Any]:
    """Return Alertmanager's configuration.

    Args:
        settings: whom to tell, in which rhythm.
        credentials_file: file (0600) with the bearer token of the desk.
    """
    desk = {
        "url": settings.desk_url,
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {
            "authorization": {"type": "Bearer", "credentials_file": str(credentials_file)},
            "follow_redirects": False,
        },
    }
    heartbeat: dict[str, Any] = {"name": "heartbeat"}
    if settings.heartbeat_url:
        heartbeat["webhook_configs"] = [{"url": settings.heartbeat_url, "send_resolved": False}]
    return {
        "route": {
            "receiver": "desk-ticket",
            "group_by": list(GROUP_BY),
            **_timing(settings.ticket),
            "routes": [
                {
                    "receiver": "heartbeat",
                    "matchers": ['alertname="Watchdog"'],
                    "group_wait": "0s",
                    "group_interval": "1m",
                    "repeat_interval": "1m",
                },
                {
                    "receiver": "desk-page",
                    "matchers": [f'severity="{Severity.PAGE.value}"'],
                    **_timing(settings.page),
                },
            ],
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [
            {"name": "desk-page", "webhook_configs": [desk]},
            {"name": "desk-ticket", "webhook_configs": [dict(desk)]},
            heartbeat,
        ],
    }


def render_alertmanager(settings: AlertmanagerSettings, credentials_file: Path) -> str:
    """Return Alertmanager's configuration as YAML; it holds no secret."""
    config = alertmanager_config(settings, credentials_file)
    return yaml.dump(config, Dumper=_Plain, sort_keys=False, width=1000)


def alertmanager_argv(
    settings: AlertmanagerSettings, program: Path, config: Path, data: Path
) -> list[str]:
    """Return the command line of an Alertmanager that stands alone."""
    host, port = settings.listen
    return [
        str(program),
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address={host}:{port}",
        "--cluster.listen-address=",
    ]


def _timing(timing: Timing) -> dict[str, str]:
    return {name: duration(seconds) for name, seconds in timing}


def _inhibitions() -> list[dict[str, Any]]:
    burns = {
        "source_matchers": ['sloth_severity="page"'],
        "target_matchers": ['sloth_severity="ticket"'],
        "equal": ["sloth_id"],
    }
    causes = [
        {
            "source_matchers": [f'alertname="{cause}"'],
            "target_matchers": [
                f'alertname=~"{"|".join(consequences)}"',
                f'severity="{Severity.TICKET.value}"',
            ],
            **({"equal": list(equal)} if equal else {}),
        }
        for cause, consequences, equal in INHIBITIONS
    ]
    return [*causes, burns]


class _Plain(yaml.SafeDumper):
    """Writes equal parts out in full instead of as YAML aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
