"""The section `alerting:` of storewatch.yaml: thresholds, service levels, and who is told."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from alerting.anomaly.settings import AnomalySettings
from alerting.budget_policy import DEFAULT_POLICY, PolicyLevel
from alerting.maintenance import MaintenanceSettings
from alerting.receivers import RESERVED, InhibitionSettings, Name, Receiver, RouteSettings
from storewatch.schema import BesidePath, Duration, Section


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
_MATCHER_LISTS_MAX = 4
Period = Literal["7d", "28d", "30d"]


class PrometheusSettings(Section):
    """Prometheus: where it listens and how often it looks. Times in seconds."""

    listen: Address = ("127.0.0.1", 18090)
    scrape_interval: Duration = Field(default=5.0, le=15)
    """The shortest windows of the rules, of a minute, hold four scrapes at least."""
    evaluation_interval: Duration = 5.0
    retention: Duration = 35 * 86400.0
    """As long as the longest period of an error budget and what signals are learnt from."""
    rule_files: tuple[BesidePath, ...] = ()
    """Rules of one's own, beside ours: paths, which may be patterns."""
    scrape_config_files: tuple[BesidePath, ...] = ()
    """Scrape jobs of one's own: files with `scrape_configs`; paths, which may be patterns."""


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
    disk_free_ratio_min: float = Field(default=0.15, gt=0, lt=1)
    """Share of a file system's space below which it is a ticket."""
    disk_free_ratio_page: float = Field(default=0.1, gt=0, lt=1)
    """Share below which it is a page, once what is left lasts for less than `disk_full_within`."""
    disk_full_within: Duration = 4 * 3600.0
    """Source: node_exporter's mixin, NodeFilesystemSpaceFillingUp (critical)."""
    connections_used_ratio_max: float = Field(default=0.85, gt=0, lt=1)
    """Share of the connections that ordinary accounts may open."""
    transaction_max_age: Duration = 3600.0
    """Longer than any dump: until a transaction ends, vacuum removes nothing that it may see."""
    slot_retained_bytes_max: int = Field(default=8 * 1024**3, gt=0)
    """WAL that one slot may keep; PostgreSQL itself has no limit (max_slot_wal_keep_size is -1)."""
    slot_inactive_bytes_max: int = Field(default=1024**3, gt=0)
    """WAL that a slot may keep which nobody reads.

    Source: PostgreSQL's default of max_wal_size: no more than its WAL takes anyway.
    """
    backup_max_age: Duration = 26 * 3600.0
    drill_max_age: Duration = 8 * 86400.0
    wal_lag_max: Duration = 300.0
    """Five times the interval in which a quiet shop's WAL is archived (`backup.wal.interval`)."""
    burn_events_min: int = Field(default=10, gt=0)
    """Bad events in the long window below which no error budget alert speaks."""


class AlertSettings(Section):
    """Everything between a measurement and somebody who is told."""

    slos: tuple[BesidePath, ...] = ()
    """Sloth prometheus/v1 and OpenSLO v1 files; none: the shipped ones."""
    slo_period: Period = "30d"
    """Of objectives whose file does not say."""
    slo_periods: dict[str, Period] = {}
    """Of objectives by their id (service-name), where it is another one."""
    slo_interval: Duration = Field(default=120.0, le=240)
    """How often windows of hours and days are looked at; Prometheus forgets after 5 minutes."""
    error_budget_policy: tuple[PolicyLevel, ...] = DEFAULT_POLICY
    """What happens when how much of a budget is spent."""
    maintenance: tuple[MaintenanceSettings, ...] = ()
    """Recurring times in which nobody is told and no budget is spent."""
    receivers: dict[Name, Receiver] = {}
    """Who is told besides the desk, by name, in Alertmanager's own keys."""
    routes: tuple[RouteSettings, ...] = ()
    """Which alerts go to them, asked in this order."""
    inhibitions: tuple[InhibitionSettings, ...] = ()
    """Causes that mute their consequences, besides the shipped ones."""
    fallbacks: tuple[Name, ...] = ()
    """Receivers that are told when notifications fail: the first that does not fail itself."""
    thresholds: Thresholds = Thresholds()
    prometheus: PrometheusSettings = PrometheusSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    anomaly: AnomalySettings = AnomalySettings()

    @field_validator("error_budget_policy")
    @classmethod
    def _rising(cls, levels: tuple[PolicyLevel, ...]) -> tuple[PolicyLevel, ...]:
        spent = [level.spent for level in levels]
        if spent != sorted(set(spent)):
            raise ValueError("levels must rise, such as spent: 0.5, then 0.75, then 1")
        return levels

    @field_validator("maintenance")
    @classmethod
    def _named_once(
        cls, windows: tuple[MaintenanceSettings, ...]
    ) -> tuple[MaintenanceSettings, ...]:
        names = [window.name for window in windows]
        if len(set(names)) != len(names):
            raise ValueError("two windows have one name; give each its own")
        return windows

    @field_validator("maintenance")
    @classmethod
    def _few_matchers(
        cls, windows: tuple[MaintenanceSettings, ...]
    ) -> tuple[MaintenanceSettings, ...]:
        if len({window.matchers for window in windows}) > _MATCHER_LISTS_MAX:
            raise ValueError(
                f"more than {_MATCHER_LISTS_MAX} different lists of matchers: each doubles"
                " Alertmanager's routes; let windows share theirs"
            )
        return windows

    @model_validator(mode="after")
    def _receivers_are_known(self) -> Self:
        if taken := sorted(set(self.receivers) & set(RESERVED)):
            raise ValueError(f"receivers.{taken[0]}: the name is ours; choose another")
        named = [("fallbacks", name) for name in self.fallbacks]
        named += [("routes", name) for route in self.routes for name in route.receivers]
        for where, name in named:
            if name not in self.receivers:
                known = ", ".join(self.receivers) or "none"
                raise ValueError(f"{where}: no receiver {name!r} in receivers; there are: {known}")
        return self
