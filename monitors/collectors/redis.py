"""Redis, by INFO, under redis_exporter's names and types.

One exporter watches it beside other things, so every series carries the label `node`.

Source: redis_exporter 1.45, exporter/exporter.go and exporter/info.go, and what it answers (see
tests/monitors/test_exporter_names.py).
"""

import re
import time
from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from monitors.collectors.resp import RespClient, RespError
from monitors.families import Kind, counter, gauge, plain_counter, value
from monitors.settings import RedisSettings

Info = Mapping[str, str]

# Field of INFO -> name below redis_; "" where it is the field's own.
_GAUGES = {
    "process_id": "",
    "uptime_in_seconds": "",
    "connected_clients": "",
    "blocked_clients": "",
    "tracking_clients": "",
    "clients_in_timeout_table": "",
    "maxclients": "config_maxclients",
    "used_memory": "memory_used_bytes",
    "used_memory_rss": "memory_used_rss_bytes",
    "used_memory_peak": "memory_used_peak_bytes",
    "used_memory_lua": "memory_used_lua_bytes",
    "used_memory_overhead": "memory_used_overhead_bytes",
    "used_memory_startup": "memory_used_startup_bytes",
    "used_memory_dataset": "memory_used_dataset_bytes",
    "used_memory_scripts": "memory_used_scripts_bytes",
    "maxmemory": "memory_max_bytes",
    "mem_fragmentation_ratio": "",
    "mem_fragmentation_bytes": "",
    "mem_clients_slaves": "",
    "mem_clients_normal": "",
    "mem_not_counted_for_evict": "mem_not_counted_for_eviction_bytes",
    "number_of_cached_scripts": "",
    "lazyfree_pending_objects": "",
    "expired_stale_perc": "expired_stale_percentage",
    "expired_time_cap_reached_count": "expired_time_cap_reached_total",
    "loading": "loading_dump_file",
    "rdb_changes_since_last_save": "",
    "rdb_bgsave_in_progress": "",
    "rdb_last_save_time": "rdb_last_save_timestamp_seconds",
    "rdb_last_bgsave_status": "",
    "rdb_last_bgsave_time_sec": "rdb_last_bgsave_duration_sec",
    "rdb_current_bgsave_time_sec": "rdb_current_bgsave_duration_sec",
    "rdb_last_cow_size": "rdb_last_cow_size_bytes",
    "aof_enabled": "",
    "aof_rewrite_in_progress": "",
    "aof_rewrite_scheduled": "",
    "aof_last_rewrite_time_sec": "aof_last_rewrite_duration_sec",
    "aof_last_bgrewrite_status": "",
    "aof_last_write_status": "",
    "aof_last_cow_size": "aof_last_cow_size_bytes",
    "aof_current_size": "aof_current_size_bytes",
    "aof_base_size": "aof_base_size_bytes",
    "aof_delayed_fsync": "",
    "pubsub_channels": "",
    "pubsub_patterns": "",
    "connected_slaves": "",
    "repl_backlog_active": "repl_backlog_is_active",
    "repl_backlog_size": "replication_backlog_bytes",
    "repl_backlog_histlen": "repl_backlog_history_bytes",
    "repl_backlog_first_byte_offset": "",
    "master_repl_offset": "",
    "second_repl_offset": "",
    "slave_expires_tracked_keys": "",
    "sync_full": "replica_resyncs_full",
    "sync_partial_ok": "replica_partial_resync_accepted",
    "sync_partial_err": "replica_partial_resync_denied",
    "cluster_enabled": "",
}
_COUNTERS = {
    "total_connections_received": "connections_received",
    "total_commands_processed": "commands_processed",
    "rejected_connections": "",
    "total_net_input_bytes": "net_input_bytes",
    "total_net_output_bytes": "net_output_bytes",
    "expired_keys": "",
    "evicted_keys": "",
    "keyspace_hits": "",
    "keyspace_misses": "",
    "used_cpu_sys": "cpu_sys_seconds",
    "used_cpu_user": "cpu_user_seconds",
    "used_cpu_sys_children": "cpu_sys_children_seconds",
    "used_cpu_user_children": "cpu_user_children_seconds",
}
_PLAIN_COUNTERS = {
    "total_error_replies": "",
    "total_reads_processed": "",
    "total_writes_processed": "",
    "unexpected_error_replies": "",
}
_IDENTITY = (
    "role", "redis_version", "redis_build_id", "redis_mode", "os", "maxmemory_policy", "tcp_port",
    "run_id", "process_id",
)  # fmt: skip
_DATABASE = re.compile(r"db\d+")
_REPLICA = re.compile(r"slave\d+")
_MAXIMUM_COMMANDS = 300
"""Redis has some 250 commands; whoever sends more of them than this is no Redis."""


class RedisCollector:
    """One Redis server, asked over a fresh connection at each scrape."""

    def __init__(self, settings: RedisSettings) -> None:
        self.name = settings.name
        self.timeout_s = settings.timeout
        self._settings = settings
        self._labels = {"node": settings.name}

    def collect(self) -> Iterable[Metric]:
        """Ask the server for INFO, its limit of clients and the length of its slow log."""
        settings = self._settings
        with RespClient(settings.host, settings.port, settings.timeout) as client:
            if password := settings.password.get_secret_value():
                client.ask("AUTH", *([settings.user] if settings.user else []), password)
            info = parse_info(client.ask("INFO", "ALL"))
            slow = _permitted(client, "SLOWLOG", "LEN")
            configured = _permitted(client, "CONFIG", "GET", "maxclients")
        if isinstance(configured, list) and len(configured) == 2:
            info.setdefault("maxclients", str(configured[1]))
        yield value("redis_up", "Whether Redis answers.", 1, **self._labels)
        for kind, fields in (
            (gauge, _GAUGES),
            (counter, _COUNTERS),
            (plain_counter, _PLAIN_COUNTERS),
        ):
            yield from self._mapped(kind, fields, info)
        if isinstance(slow, int):
            yield value("redis_slowlog_length", "Entries of the slow log.", slow, **self._labels)
        yield from self._server(info)
        yield from self._keyspace(info)
        yield from self._commands(info)
        yield from self._replication(info)

    def down(self) -> Iterable[Metric]:
        """Say that Redis does not answer."""
        yield value("redis_up", "Whether Redis answers.", 0, **self._labels)

    def _mapped(self, kind: Kind, fields: Mapping[str, str], info: Info) -> Iterable[Metric]:
        for field, name in fields.items():
            if field in info:
                number = _number(info[field])
                yield kind(f"redis_{name or field}", f"{field} of INFO.", [(self._labels, number)])

    def _server(self, info: Info) -> Iterable[Metric]:
        yield value(
            "redis_start_time_seconds",
            "Unix time of the start.",
            int(time.time()) - _number(info["uptime_in_seconds"]),
            **self._labels,
        )
        yield value(
            "redis_latest_fork_seconds",
            "Time the latest fork took.",
            _number(info.get("latest_fork_usec", "0")) / 1e6,
            **self._labels,
        )
        identity = {field: info.get(field, "") for field in _IDENTITY}
        yield value("redis_instance_info", "Who the server is.", 1, **self._labels, **identity)

    def _keyspace(self, info: Info) -> Iterable[Metric]:
        databases = {db: _pairs(info[db]) for db in info if _DATABASE.fullmatch(db)}
        for name, field, documentation in (
            ("redis_db_keys", "keys", "Keys in the database."),
            ("redis_db_keys_expiring", "expires", "Keys that expire."),
        ):
            yield gauge(
                name,
                documentation,
                [
                    ({**self._labels, "db": db}, _number(content[field]))
                    for db, content in (databases or {"db0": {"keys": "0", "expires": "0"}}).items()
                ],
            )

    def _commands(self, info: Info) -> Iterable[Metric]:
        prefix = "cmdstat_"
        fields = [field for field in info if field.startswith(prefix)][:_MAXIMUM_COMMANDS]
        stats = {field.removeprefix(prefix): _pairs(info[field]) for field in fields}
        yield counter(
            "redis_commands",
            "Calls of the command.",
            [({**self._labels, "cmd": c}, _number(s["calls"])) for c, s in stats.items()],
        )
        yield counter(
            "redis_commands_duration_seconds",
            "Time spent in the command.",
            [({**self._labels, "cmd": c}, _number(s["usec"]) / 1e6) for c, s in stats.items()],
        )

    def _replication(self, info: Info) -> Iterable[Metric]:
        replicas = [_pairs(content) for field, content in info.items() if _REPLICA.fullmatch(field)]
        samples = [
            (
                {
                    **self._labels,
                    "slave_ip": replica.get("ip", ""),
                    "slave_port": replica.get("port", ""),
                    "slave_state": replica.get("state", ""),
                },
                replica,
            )
            for replica in replicas[:20]
        ]
        for name, field, documentation in (
            ("redis_connected_slave_offset_bytes", "offset", "What the replica has received."),
            ("redis_connected_slave_lag_seconds", "lag", "Time since the replica was heard of."),
        ):
            yield gauge(
                name, documentation, [(lb, _number(r.get(field, "0"))) for lb, r in samples]
            )
        if "master_host" in info:
            master = {"master_host": info["master_host"], "master_port": info["master_port"]}
            for name, up in (
                ("redis_master_link_up", info["master_link_status"] == "up"),
                ("redis_master_last_io_seconds_ago", _number(info["master_last_io_seconds_ago"])),
                ("redis_master_sync_in_progress", _number(info["master_sync_in_progress"])),
            ):
                yield value(name, "The link to the master.", up, **self._labels, **master)


def parse_info(text: object) -> dict[str, str]:
    """Return INFO's fields.

    Raises:
        ValueError: it is not Redis' INFO.
    """
    if not isinstance(text, str) or "redis_version:" not in text:
        raise ValueError("INFO names no redis_version; is this a Redis server?")
    lines = (line.strip() for line in text.splitlines() if ":" in line and line[0] != "#")
    return {field: content for field, _, content in (line.partition(":") for line in lines)}


def _pairs(content: str) -> dict[str, str]:
    """Return `a=1,b=2` as a dictionary."""
    return {key: text for key, _, text in (pair.partition("=") for pair in content.split(","))}


def _number(text: str) -> float:
    known = {"ok": 1.0, "err": 0.0, "fail": 0.0}.get(text)
    return float(text) if known is None else known


def _permitted(client: RespClient, *words: str) -> object:
    """Return an answer, None where the account may not ask or the command was renamed."""
    try:
        return client.ask(*words)
    except RespError:
        return None
