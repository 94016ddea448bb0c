"""Settings of the shop: everything comes from the environment, defaults are the demo's ports."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storefront.errors import SettingsError

HOST = "127.0.0.1"

DEFAULT_PORTS = {
    "http": 18080,
    "tls": 18443,
    "app-1": 18081,
    "app-2": 18082,
    "db-a": 18432,
    "db-b": 18433,
    "redis": 18379,
    "pay-alpha": 18084,
    "pay-beta": 18085,
    "s3-offsite": 18086,
    "s3-cloud": 18087,
}
"""Port of each process; SHOP_PORT_<NAME> (SHOP_PORT_DB_A) overrides one."""

PROVIDERS = ("alpha", "beta")
INSTANCES = ("app-1", "app-2")
DATABASES = ("db-a", "db-b")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the shop waits, and how often it may be asked. Times in seconds."""

    connect_s: int = 1
    """A database that does not accept a connection in this time is passed over."""
    pool_wait_s: float = 0.7
    """Longest wait for a pooled connection: a killed primary costs a request no more than this."""
    statement_s: float = 2.0
    """Longest SQL statement, kept by the server."""
    unit_s: float = 3.0
    """Longest unit of database work with its commit, kept by the shop."""
    read_s: float = 1.2
    """Longest read with its wait for a connection, before the primary is asked instead."""
    db_shutdown_wait_s: float = 15.0
    """How long a starting node lets an older server over the same folder end."""
    cache_s: float = 0.5
    provider_s: float = 2.0
    """Longest wait for a payment provider; after it the capture is unknown."""
    lease_s: float = 3.5
    """One caller at a time may ask a provider about one attempt; longer than `provider_s`."""
    request_s: float = 8.0
    """Longest request of all; nginx has given up on it by then."""
    settle_after_s: float = 10.0
    """Age at which the worker takes over a pending payment whose caller has gone."""
    abandon_after_s: float = 60.0
    """Age at which the worker cancels an order whose payment failed and was not tried again."""
    ship_after_s: float = 20.0
    deliver_after_s: float = 60.0
    session_s: int = 3600
    requests_per_10_s: int = 5000
    """Per client address and instance: far above a load test, far below a flood."""
    failed_logins: int = 10
    """Failed log-ins per account within `failed_logins_window_s` before it is locked."""
    failed_logins_window_s: int = 300


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """Argon2id parameters.

    Cheap on purpose: demo accounts protect nothing, and a log-in under load may not cost more
    than 10 ms of one core. OWASP's minimum for real accounts is 19 MiB with two passes.
    Source: OWASP Password Storage Cheat Sheet.
    """

    time_cost: int = 1
    memory_kib: int = 1024
    parallelism: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of the shop knows; secrets are asked for by name and never shown."""

    home: Path
    ports: Mapping[str, int]
    limits: Limits = field(default_factory=Limits)
    password_cost: PasswordCost = field(default_factory=PasswordCost)
    postgres_bin: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shop(self) -> Path:
        """Return the folder of everything that the shop keeps."""
        return self.home / "shop"

    def port(self, name: str) -> int:
        """Return the port of a process, such as `db-a`."""
        return self.ports[name]

    def secret(self, name: str) -> str:
        """Return a secret from the environment.

        Raises:
            SettingsError: it is missing, empty, or has characters that configuration files escape.
        """
        value = self.environment.get(name, "")
        if not value:
            raise SettingsError(f"{name} is not set; export it, at least 16 letters and digits")
        if not value.replace("-", "").replace("_", "").isalnum():
            raise SettingsError(f"{name} may only hold letters, digits, '-' and '_'")
        return value

    def database_url(self, role: str, secret: str, *, target: str, database: str = "shop") -> str:
        """Return a libpq connection string that names both nodes.

        Args:
            role: who connects.
            secret: name of the variable with the role's password.
            target: libpq's target_session_attrs, such as read-write or prefer-standby.
        """
        hosts = ",".join(HOST for _ in DATABASES)
        ports = ",".join(str(self.port(name)) for name in DATABASES)
        statement_ms = int(self.limits.statement_s * 1000)
        return (
            f"host={hosts} port={ports} dbname={database} user={role}"
            f" password={self.secret(secret)} target_session_attrs={target}"
            f" connect_timeout={self.limits.connect_s} sslmode=disable gssencmode=disable"
            f" options='-c statement_timeout={statement_ms} -c lock_timeout={statement_ms}"
            " -c idle_in_transaction_session_timeout=5000'"
        )


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from the environment.

    Raises:
        SettingsError: a variable is missing or wrong.
    """
    home = environment.get("STOREWATCH_HOME", "")
    if not home.startswith("/"):
        raise SettingsError("STOREWATCH_HOME must be an absolute path, such as /var/lib/storewatch")
    postgres_bin = environment.get("SHOP_POSTGRES_BIN")
    return Settings(
        home=Path(home),
        ports={name: _port(environment, name, port) for name, port in DEFAULT_PORTS.items()},
        limits=_limits(environment),
        postgres_bin=Path(postgres_bin) if postgres_bin else None,
        environment=environment,
    )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    variable = "SHOP_PORT_" + name.upper().replace("-", "_")
    value = environment.get(variable, str(default))
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise SettingsError(f"{variable} is {value!r}; a port is a number such as {default}")
    return int(value)


def _limits(environment: Mapping[str, str]) -> Limits:
    """Return the limits; SHOP_<NAME> (SHOP_SHIP_AFTER_S) overrides one."""
    defaults = Limits()
    changed: dict[str, float] = {}
    for name in Limits.__slots__:
        variable = "SHOP_" + name.upper()
        if variable not in environment:
            continue
        kind = type(getattr(defaults, name))
        try:
            changed[name] = kind(environment[variable])
        except ValueError as error:
            value, right = environment[variable], getattr(defaults, name)
            raise SettingsError(f"{variable} is {value!r}; a right value is {right}") from error
    return Limits(**changed)  # type: ignore[arg-type]
