"""The section `loadtests:` of storewatch.yaml."""

from typing import Self

from pydantic import Field, model_validator

from loadtests.policies import Policy, RequirementSettings, parted
from loadtests.profiles import ProfileSettings
from loadtests.verdict import misnamed
from storewatch.core.targets import Target
from storewatch.schema import BesidePath, Duration, Section, TargetField


class ReconciliationSettings(Section):
    """Where acknowledged orders must be found again: the shop's database and its payment ledgers.

    `orders_sql` returns order_id, idempotency_key, state, total_cents of every order made since the
    parameter %(since)s (aware time); `captures_sql` returns provider, order_id, amount_cents of
    every payment captured since then, where providers have no ledger at a URL; `oversold_sql`
    returns one number of units; `accepted_states` are those an acknowledged order may be in.
    Instead of all that, `function` names a module:function of the shop's own.
    """

    function: str = ""
    database: str = ""
    orders_sql: str = ""
    captures_sql: str = ""
    oversold_sql: str = ""
    accepted_states: tuple[str, ...] = ("paid", "shipped", "delivered", "refunded")
    payment_ledgers: dict[str, str] = {}
    payment_token: str = ""

    @model_validator(mode="after")
    def _books_are_read_in_one_way(self) -> Self:
        queried = {name: getattr(self, name) for name in ("database", "orders_sql", "oversold_sql")}
        payments = self.captures_sql or self.payment_ledgers
        if self.function and (any(queried.values()) or payments):
            raise ValueError("function replaces database, queries and payment ledgers; write one")
        missing = [name for name, text in queried.items() if not text]
        if not self.function and missing:
            raise ValueError(f"write {', '.join(missing)}, or a function such as myshop.books:read")
        if not self.function and not payments:
            raise ValueError(
                "an order counts as paid by its capture: write captures_sql or payment_ledgers"
            )
        return self


class ResourceSettings(Section):
    """Something of the shop that can fill up; `query` is PromQL for one number, full at `limit`."""

    query: str
    limit: float = Field(gt=0)


# Over the exporter's own metrics. Limits: utilisation beyond which queues grow quickly (M/M/1: at
# 90 % work waits nine times as long as it takes), and any lasting queue where there should be none.
RESOURCES = {
    "processor": ResourceSettings(
        query='max(1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[30s])))',
        limit=0.9,
    ),
    "processor's queue": ResourceSettings(
        query='max(node_load1 / count without (cpu, mode) (node_cpu_seconds_total{mode="idle"}))',
        limit=2,
    ),
    "disk": ResourceSettings(query="max(rate(node_disk_io_time_seconds_total[30s]))", limit=0.9),
    "memory": ResourceSettings(
        query="max(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)", limit=0.95
    ),
    "database connections": ResourceSettings(
        query="max(storewatch_pg_connections / storewatch_pg_connections_limit)", limit=0.9
    ),
    "database lock waits": ResourceSettings(query="max(storewatch_pg_blocked_sessions)", limit=5),
    "database reads past its cache": ResourceSettings(
        query="max(rate(pg_stat_database_blks_read[30s]) / (rate(pg_stat_database_blks_read[30s])"
        " + rate(pg_stat_database_blks_hit[30s])))",
        limit=0.2,
    ),
    "standby's backlog (s)": ResourceSettings(query="max(pg_replication_lag_seconds)", limit=5),
    "Redis' memory": ResourceSettings(
        query="max(redis_memory_used_bytes / (redis_memory_max_bytes > 0))", limit=0.95
    ),
    "Redis' misses": ResourceSettings(
        query="max(rate(redis_keyspace_misses_total[30s]) / (rate(redis_keyspace_misses_total[30s])"
        " + rate(redis_keyspace_hits_total[30s])))",
        limit=0.5,
    ),
}


class ComparisonSettings(Section):
    """What `load compare` lets a release lose: p95 over that of the release before, and errors."""

    # Source: the requirement that a regression of 10 % is found; half of it is tolerated.
    tolerated_ratio: float = Field(default=1.05, gt=1, le=10)
    # Source: requirements.md R2 (availability >= 99.9 %).
    tolerated_errors: float = Field(default=0.001, gt=0, lt=1)


class LoadSettings(Section):
    """Load tests of the journeys."""

    base_url: str
    ca_file: BesidePath | None = None
    journeys: dict[str, str]
    timeout: Duration = 10.0
    connections: int = Field(default=200, ge=1)
    profiles: dict[str, ProfileSettings] = {"baseline": ProfileSettings(rate=5)}
    # Source: requirements.md R2 (response time < 200 ms, availability >= 99.9 %).
    targets: dict[str, TargetField] = {
        "p95_s": Target("<", 0.2),
        "error_ratio": Target("<=", 0.001),
        "arrivals_missed": Target("=", 0),
    }
    comparison: ComparisonSettings = ComparisonSettings()
    reconciliation: ReconciliationSettings | None = None
    saturation: dict[str, ResourceSettings] = RESOURCES
    policies: dict[str, Policy] = {}

    @model_validator(mode="after")
    def _targets_are_of_what_is_measured(self) -> Self:
        of_profiles = {
            f"profiles.{name}.targets": one.targets for name, one in self.profiles.items()
        }
        for where, targets in {"targets": self.targets, **of_profiles}.items():
            for name in targets:
                if mistake := misnamed(name):
                    raise ValueError(f"{where}: {mistake}")
        return self

    @model_validator(mode="after")
    def _mixes_are_of_known_journeys(self) -> Self:
        for name, profile in self.profiles.items():
            if unknown := sorted(set(profile.mix) - set(self.journeys)):
                known = ", ".join(self.journeys) or "none"
                raise ValueError(
                    f"profiles.{name}.mix: no journey {unknown[0]!r}; there are: {known}"
                )
        return self

    @model_validator(mode="after")
    def _policies_name_what_there_is(self) -> Self:
        for name, policy in self.policies.items():
            where = f"policies.{name}"
            titles = [one.title for one in policy]
            if twice := next((title for title in titles if titles.count(title) > 1), ""):
                raise ValueError(f"{where}: {twice!r} is there twice; require it once")
            for index, one in enumerate(policy):
                if one.subject and (mistake := self._unfit(one)):
                    raise ValueError(f"{where}[{index}]: {mistake}")
        return self

    def targets_of(self, profile: ProfileSettings) -> dict[str, Target]:
        """Return the targets of a profile: its own, and those of all that it does not have."""
        return {**self.targets, **profile.targets}

    def _unfit(self, one: RequirementSettings) -> str:
        """Say why a load test cannot be run as it is required, nothing when it can."""
        journey, name = parted(one.subject or "")
        if name not in self.profiles:
            return f"no profile {name!r}; there are: {', '.join(self.profiles)}"
        if journey is None and not self.profiles[name].mix:
            return f"the profile {name} has no mix; name a journey: <journey>/{name}"
        if journey is not None and journey not in self.journeys:
            return f"no journey {journey!r}; there are: {', '.join(self.journeys) or 'none'}"
        if one.hold is not None:
            try:
                self.profiles[name].held_for(one.hold)
            except ValueError as error:
                return str(error)
        return ""
