"""The section `monitors:` of storewatch.yaml: what is watched, how often, and within which time."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from monitors.probes.modules import load_modules
from monitors.queries import load_queries
from storewatch.core.journey import load_journey
from storewatch.schema import BesidePath, Duration, Section

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ROUTE = re.compile(r"[A-Z]+ \S+")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("not a name; write lower-case letters, digits, - _ and ., such as app-1")
    return value


def _route(value: str) -> str:
    if not _ROUTE.fullmatch(value):
        raise ValueError(
            "not a route; write the method and the template, such as GET /product/{id}"
        )
    return value


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("not a URL; write http://host:port/path or https://host:port/path")
    return value


def _target(value: str) -> str:
    if not value or "@" in value.partition("?")[0] or any(c.isspace() for c in value):
        raise ValueError(
            "not a target; write a URL or host:port, credentials belong into a module's basic_auth"
        )
    return value


def _journey(value: str) -> str:
    load_journey(value)
    return value


def address(value: object) -> object:
    """Return (host, port) of `host:port`; anything but text passes through to the type's check.

    Raises:
        ValueError: the text is no host and port.
    """
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("not an address; write host:port, such as 127.0.0.1:18620")
    return host.strip("[]"), int(port)


Name = Annotated[str, AfterValidator(_name)]
Url = Annotated[str, AfterValidator(_url)]
Address = Annotated[tuple[str, int], BeforeValidator(address)]


class ProbeTarget(Section):
    """Something that is probed at each scrape."""

    name: Name
    group: Name = "shop"
    """What alerts tell targets apart by: shop, app, payment, or a group of one's own."""
    module: str = "http_2xx"
    target: Annotated[str, AfterValidator(_target)]
    """A URL, host:port, a name server or a host: what the module's prober takes."""


class ProbeSettings(Section):
    """What is probed, and how."""

    modules: BesidePath | None = None
    """A file in blackbox_exporter's format; the built-in modules are there without it."""
    targets: tuple[ProbeTarget, ...] = ()

    @model_validator(mode="after")
    def _modules_exist(self) -> "ProbeSettings":
        known = load_modules(self.modules)
        for target in self.targets:
            if target.module not in known:
                raise ValueError(
                    f"target {target.name}: no module {target.module!r}; there are:"
                    f" {', '.join(known)}"
                )
        return self


class JourneySettings(Section):
    """A journey that is walked on a timer."""

    name: Name
    journey: Annotated[str, AfterValidator(_journey)]
    """The function, as module:function."""
    base_url: Url
    ca_file: Path | None = None
    interval: Duration = 60.0
    timeout: Duration = 30.0
    shoppers: tuple[int, int] = (490, 499)
    """First and last shopper number; keep them apart from the load test's shoppers."""


BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the edge's histogram, in seconds. 0.2 and 2.0 are the service levels' thresholds
and must stay."""


class EdgeSettings(Section):
    """The JSON access log of the edge."""

    log: Path
    """Relative to the state folder, or absolute. Rotated files lie beside it as <name>*."""
    routes: tuple[Annotated[str, AfterValidator(_route)], ...] = ()
    """Known routes as `METHOD /template`; their series exist from the start, at 0."""
    maximum_routes: int = Field(default=100, gt=0)
    """Routes beyond this number are counted as route `other`."""
    maximum_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    """How much of a backlog one scrape reads; the rest is read by the next."""
    timeout: Duration = 1.8


class PostgresNode(Section):
    """One server of the shop's database."""

    name: Name
    host: str = "127.0.0.1"
    port: int = Field(default=5432, gt=0, lt=65536)


class PostgresSettings(Section):
    """The shop's database: every node by name, one account that may only look."""

    nodes: tuple[PostgresNode, ...]
    database: str
    user: str
    password: SecretStr = SecretStr("")
    slow_statement: Duration = 1.0
    """Statements that run longer are counted as slow."""
    long_transaction: Duration = 60.0
    maximum_tables: int = Field(default=50, gt=0)
    """How many tables, biggest first, have series of their own."""
    timeout: Duration = 1.5


class RedisSettings(Section):
    """The shop's cache."""

    name: Name = "redis"
    host: str = "127.0.0.1"
    port: int = Field(default=6379, gt=0, lt=65536)
    user: str | None = None
    """Account of Redis' access lists; none: the default one."""
    password: SecretStr = SecretStr("")
    timeout: Duration = 1.0


def _query_file(file: Path) -> Path:
    load_queries(file)
    return file


class BusinessSettings(Section):
    """Figures of the business, asked of whichever node answers, standbys first."""

    file: Annotated[BesidePath, AfterValidator(_query_file)]
    """The queries, see `monitors.queries`."""
    timeout: Duration = 1.8


class HostSettings(Section):
    """The machine the exporter runs on."""

    filesystems: tuple[Path, ...] = (Path("/"),)
    timeout: Duration = 1.0


class MonitorSettings(Section):
    """Everything the exporter watches; a part that is left out is not watched."""

    listen: Address = ("127.0.0.1", 18620)
    deadline: Duration = 1.9
    """The longest a scrape takes, whatever the backends do."""
    host: HostSettings | None = HostSettings()
    probes: ProbeSettings = ProbeSettings()
    journeys: tuple[JourneySettings, ...] = ()
    edge: EdgeSettings | None = None
    postgres: PostgresSettings | None = None
    redis: RedisSettings | None = None
    business: BusinessSettings | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> "MonitorSettings":
        for what, names in (
            ("probe target", [t.name for t in self.probes.targets]),
            ("journey", [j.name for j in self.journeys]),
            ("database node", [n.name for n in self.postgres.nodes] if self.postgres else []),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(
                    f"two entries named {twice.pop()!r}; give each {what} its own name"
                )
        return self

    @model_validator(mode="after")
    def _business_has_a_database(self) -> "MonitorSettings":
        if self.business and not self.postgres:
            raise ValueError("`business` asks the nodes of `postgres`; add that section too")
        return self
