"""The section `monitors:` of storewatch.yaml: what is watched, how often, and within which time."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from monitors.journeys import load_journey
from storewatch.schema import Duration, Section

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ROUTE = re.compile(r"[A-Z]+ \S+")
_METRIC = re.compile(r"[a-z_][a-z0-9_]*")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("not a name; write lower-case letters, digits, - _ and ., such as app-1")
    return value


def _metric(value: str) -> str:
    if not _METRIC.fullmatch(value):
        raise ValueError("not a metric name; write letters, digits and _, such as shop_orders")
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


class HttpTarget(Section):
    """One address that is asked at each scrape; the fields are named as in blackbox_exporter."""

    name: Name
    group: Name = "shop"
    """What alerts tell targets apart by: shop, app, payment, or a group of one's own."""
    url: Url
    timeout: Duration = 1.5
    valid_status_codes: tuple[int, ...] = ()
    """Empty: 200 to 299. Redirects are never followed."""
    fail_if_body_not_matches_regexp: tuple[str, ...] = ()
    ca_file: Path | None = None
    """CA certificates (PEM) to verify by, relative to the state folder; none: the system's."""
    server_name: str | None = None
    """Name in the certificate where it is not the URL's host."""


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


class EdgeSettings(Section):
    """The JSON access log of the edge."""

    log: Path
    """Relative to the state folder, or absolute. Rotated files lie beside it as <name>*."""
    routes: tuple[Annotated[str, AfterValidator(_route)], ...] = ()
    """Known routes as `METHOD /template`; their series exist from the start, at 0."""
    maximum_routes: int = Field(default=200, gt=0)
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
    timeout: Duration = 1.5


class RedisSettings(Section):
    """The shop's cache."""

    name: Name = "redis"
    host: str = "127.0.0.1"
    port: int = Field(default=6379, gt=0, lt=65536)
    password: SecretStr = SecretStr("")
    timeout: Duration = 1.0


class BusinessQuery(Section):
    """One metric that is a query: the column `value` is the number, the others are its labels."""

    name: Annotated[str, AfterValidator(_metric)]
    help: str
    type: Literal["gauge", "counter"] = "gauge"
    """A counter's query only ever grows; `_total` is added to its name."""
    sql: str


class BusinessSettings(Section):
    """Figures of the business, asked of whichever node answers, standbys first."""

    queries: tuple[BusinessQuery, ...]
    maximum_rows: int = Field(default=100, gt=0)
    """A query that returns more rows than this is dropped: labels come from bounded sets."""
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
    http: tuple[HttpTarget, ...] = ()
    journeys: tuple[JourneySettings, ...] = ()
    edge: EdgeSettings | None = None
    postgres: PostgresSettings | None = None
    redis: RedisSettings | None = None
    business: BusinessSettings | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> "MonitorSettings":
        for what, names in (
            ("http target", [t.name for t in self.http]),
            ("journey", [j.name for j in self.journeys]),
            ("database node", [n.name for n in self.postgres.nodes] if self.postgres else []),
            ("query", [q.name for q in self.business.queries] if self.business else []),
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
