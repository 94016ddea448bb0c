"""What is not worth telling while its cause is told."""

from typing import Any

from alerting.settings import AlertSettings
from alerting.windows import Severity

INHIBITIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "DatabasePrimaryDown",
        ("DatabaseReplicaLagging", "InstanceDown", "MonitoringDataMissing", "StockBelowSafety"),
        (),
    ),
    ("ExporterDown", ("JourneyStale", "MonitoringDataMissing", "SliMissing"), ()),
)
"""(cause, consequences, labels that must be equal). Only tickets are ever silenced: a page says
what customers feel, and stays heard whatever its cause."""


def inhibit_rules(settings: AlertSettings, silent: list[str]) -> list[dict[str, Any]]:
    """Return Alertmanager's inhibition rules.

    Args:
        settings: of the package.
        silent: integrations whose failure nobody could be told of: it stops the heartbeat, so that
            whoever listens there calls.
    """
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
    burns = {
        "source_matchers": ['sloth_severity="page"'],
        "target_matchers": ['sloth_severity="ticket"'],
        "equal": ["sloth_id"],
    }
    missing = {
        "source_matchers": ['alertname="SliMissing"', 'sign="gone"'],
        "target_matchers": ['alertname="SliMissing"', 'sign="never"'],
        "equal": ["sloth_id"],
    }
    disk = {
        "source_matchers": ['alertname="DiskFilling"', 'severity="page"'],
        "target_matchers": ['alertname="DiskFilling"', 'severity="ticket"'],
        "equal": ["instance", "mountpoint"],
    }
    own = [
        {
            "source_matchers": list(one.source),
            "target_matchers": list(one.target),
            **({"equal": list(one.equal)} if one.equal else {}),
        }
        for one in settings.inhibitions
    ]
    pulse = [
        {
            "source_matchers": [
                'alertname="NotificationsFailing"',
                f'integration=~"{"|".join(silent)}"',
            ],
            "target_matchers": ['alertname="Watchdog"'],
        }
    ]
    return [*causes, burns, missing, disk, *own, *(pulse if silent else [])]
