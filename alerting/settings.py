"""The section `alerting:` of storewatch.yaml: thresholds, service levels, and who is told."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from storewatch.schema import Duration, Section


def _address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("not an address; write host:port, such as 127.0.0.1:9090")
    return host.strip("[]"), int(port)


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("not a URL; write http://host:port/path or https://host:port/path")
    return value


Address = Annotated[tuple[str, int], BeforeValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]


class PrometheusSettings(Section):
    """Prometheus: where it listens and how often it looks. Times in seconds."""

    listen: Address = ("127.0.0.1", 18090)
    scrape_interval: Duration = 5.0
    evaluation_interval: Duration = 5.0
    retention: Duration = 35 * 86400.0
    """Longer than the 30 days of the error budget."""


class Timing(Section):
    """How Alertmanager bundles what it sends. Times in seconds."""

    group_wait: Duration = 10.0
    """Wait for further alerts of a new group."""
    group_interval: Duration = 60.0
    """Between two messages about one group; bounds how late a resolve is told."""
    repeat_interval: Duration = 4 * 3600.0


class PageTiming(Timing):
    """The rhythm for pages: told at once, and soon told when it is over."""

    group_wait: Duration = 1.0
    group_interval: Duration = 5.0


class AlertmanagerSettings(Section):
    """Alertmanager: where it listens, whom it tells, and in which rhythm."""

    listen: Address = ("127.0.0.1", 18093)
    desk_url: Url = "http://127.0.0.1:18600/webhook"
    heartbeat_url: Url | None = None
    """Where the watchdog's pulse goes: something outside that calls when it stops."""
    page: PageTiming = PageTiming()
    ticket: Timing = Timing()


class Thresholds(Section):
    """Numbers that the shipped alerts compare with. Times in seconds."""

    checkout_journey: str = Field(default="checkout", pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    """The journey whose failure is a failing checkout."""
    journey_max_age: Duration = 60.0
    replica_lag_max: Duration = 10.0
    payment_failure_ratio_max: float = Field(default=0.2, gt=0, lt=1)
    payment_failures_min: int = Field(default=3, gt=0)
    """Fewer failing payments than this never alert, whatever their share."""
    products_below_safety_max: int = Field(default=0, ge=0)
    certificate_min_validity: Duration = 14 * 86400.0
    backup_max_age: Duration = 26 * 3600.0
    drill_max_age: Duration = 8 * 86400.0
    burn_events_min: int = Field(default=10, gt=0)
    """Bad events in the long window below which no error budget alert speaks."""


class AlertSettings(Section):
    """Everything between a measurement and somebody who is told."""

    slos: tuple[Path, ...] = ()
    """Sloth prometheus/v1 files; none: the shipped ones."""
    thresholds: Thresholds = Thresholds()
    prometheus: PrometheusSettings = PrometheusSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
