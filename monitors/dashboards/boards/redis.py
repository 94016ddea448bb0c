"""Redis: memory, keys, commands."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, Variable, either

_N = 'node=~"$node"'


def _rate(metric: str) -> str:
    return f"sum by (node) (rate({metric}{{{_N}}}[$__rate_interval]))"


def board(limits: Limits) -> Board:
    """Return the dashboard of the shop's cache."""
    del limits
    hits, misses = _rate("redis_keyspace_hits_total"), _rate("redis_keyspace_misses_total")
    return Board(
        "storewatch-redis",
        "Redis",
        "Sessions and carts, under redis_exporter's names.",
        (
            Row(
                "State",
                (
                    either(
                        "Up", Query(f"max by (node) (redis_up{{{_N}}})", "{{node}}"), ("down", "up")
                    ),
                    Panel(
                        "Memory",
                        (Query(f"max by (node) (redis_memory_used_bytes{{{_N}}})", "{{node}}"),),
                        unit="bytes",
                    ),
                    Panel(
                        "Clients",
                        (Query(f"max by (node) (redis_connected_clients{{{_N}}})", "{{node}}"),),
                    ),
                ),
            ),
            Row(
                "Work",
                (
                    Panel(
                        "Commands",
                        (
                            Query(
                                "topk(8, sum by (cmd) (rate(redis_commands_total"
                                f"{{{_N}}}[$__rate_interval])))",
                                "{{cmd}}",
                            ),
                        ),
                        unit="ops",
                    ),
                    Panel(
                        "Keys found",
                        (Query(f"{hits} / ({hits} + {misses} > 0)", "{{node}}", "nobody asks"),),
                        unit="percentunit",
                    ),
                    Panel(
                        "Keys",
                        (
                            Query(f"sum by (db) (redis_db_keys{{{_N}}})", "{{db}}"),
                            Query(
                                f"sum by (db) (redis_db_keys_expiring{{{_N}}})", "{{db}} expiring"
                            ),
                        ),
                    ),
                    Panel(
                        "Evicted and expired",
                        (
                            Query(_rate("redis_evicted_keys_total"), "{{node}} evicted"),
                            Query(_rate("redis_expired_keys_total"), "{{node}} expired"),
                        ),
                        unit="ops",
                    ),
                    Panel(
                        "Slow log",
                        (Query(f"max by (node) (redis_slowlog_length{{{_N}}})", "{{node}}"),),
                    ),
                    Panel(
                        "Rejected connections",
                        (Query(_rate("redis_rejected_connections_total"), "{{node}}"),),
                        unit="ops",
                    ),
                ),
            ),
        ),
        (Variable("node", "Node", "redis_up, node"),),
    )
