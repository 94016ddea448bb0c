"""Redis, by INFO, under redis_exporter's names."""

import re
from collections.abc import Iterable
from typing import Any

import redis
from prometheus_client.core import Metric
from redis.backoff import NoBackoff
from redis.retry import Retry

from monitors.families import counter, gauge, value
from monitors.settings import RedisSettings

# INFO field -> (name, help). Source: redis_exporter's README and exporter.go.
_GAUGES = {
    "uptime_in_seconds": ("redis_uptime_in_seconds", "Seconds since the server's start."),
    "connected_clients": ("redis_connected_clients", "Open client connections."),
    "blocked_clients": ("redis_blocked_clients", "Clients waiting in a blocking call."),
    "maxclients": ("redis_config_maxclients", "Limit of client connections."),
    "used_memory": ("redis_memory_used_bytes", "Memory in use."),
    "maxmemory": ("redis_memory_max_bytes", "Limit of memory, 0 for none."),
    "connected_slaves": ("redis_connected_slaves", "Replicas that are connected."),
    "aof_enabled": ("redis_aof_enabled", "Whether the append-only file is on."),
    "rdb_last_save_time": (
        "redis_rdb_last_save_timestamp_seconds",
        "Unix time of the last successful save.",
    ),
    "rdb_changes_since_last_save": (
        "redis_rdb_changes_since_last_save",
        "Changes that no save holds yet.",
    ),
}
_COUNTERS = {
    "total_commands_processed": ("redis_commands_processed", "Commands processed."),
    "total_connections_received": ("redis_connections_received", "Connections accepted."),
    "rejected_connections": ("redis_rejected_connections", "Connections refused at the limit."),
    "keyspace_hits": ("redis_keyspace_hits", "Look-ups that found their key."),
    "keyspace_misses": ("redis_keyspace_misses", "Look-ups that found none."),
    "evicted_keys": ("redis_evicted_keys", "Keys evicted for want of memory."),
    "expired_keys": ("redis_expired_keys", "Keys that expired."),
}
_DATABASE = re.compile(r"db\d+")


class RedisCollector:
    """One Redis server, asked over a fresh connection at each scrape."""

    def __init__(self, settings: RedisSettings) -> None:
        self.name = settings.name
        self.timeout_s = settings.timeout
        self._labels = {"node": settings.name}
        self._options: dict[str, Any] = {
            "host": settings.host,
            "port": settings.port,
            "password": settings.password.get_secret_value() or None,
            "socket_timeout": settings.timeout,
            "socket_connect_timeout": settings.timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }

    def collect(self) -> Iterable[Metric]:
        """Ask the server for INFO."""
        with redis.Redis(**self._options) as client:
            info: dict[str, Any] = client.info()
        yield value("redis_up", "Whether Redis answers.", 1, **self._labels)
        for field, (name, documentation) in _GAUGES.items():
            if field in info:
                yield value(name, documentation, float(info[field]), **self._labels)
        for field, (name, documentation) in _COUNTERS.items():
            if field in info:
                yield counter(name, documentation, [(self._labels, float(info[field]))])
        yield gauge(
            "redis_db_keys",
            "Keys in the database.",
            [
                ({**self._labels, "db": field}, float(content["keys"]))
                for field, content in info.items()
                if _DATABASE.fullmatch(field)
            ],
        )
        yield gauge(
            "redis_instance_info",
            "Version and role of the server.",
            [
                (
                    {
                        **self._labels,
                        "redis_version": str(info.get("redis_version", "")),
                        "role": str(info.get("role", "")),
                    },
                    1,
                )
            ],
        )

    def down(self) -> Iterable[Metric]:
        """Say that Redis does not answer."""
        yield value("redis_up", "Whether Redis answers.", 0, **self._labels)
