"""PostgreSQL: who is primary, how far the standby is behind, what waits for what."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, Variable, either

_N = 'node=~"$node"'
_NO_STANDBY = "there is none while no node is a standby"


def board(limits: Limits) -> Board:
    """Return the dashboard of the shop's database."""
    return Board(
        "storewatch-postgres",
        "PostgreSQL",
        "Both nodes, under postgres_exporter's names where the meaning is the same.",
        (
            Row("Nodes", _nodes(limits)),
            Row("Load", _load()),
            Row("Waiting", _waiting(limits)),
            Row("Storage", _storage(limits)),
        ),
        (Variable("node", "Node", "pg_up, node"),),
    )


def _rate(metric: str) -> str:
    return f"sum by (node) (rate({metric}{{{_N}}}[$__rate_interval]))"


def _nodes(limits: Limits) -> tuple[Panel, ...]:
    return (
        either("Up", Query(f"max by (node) (pg_up{{{_N}}})", "{{node}}"), ("down", "up")),
        Panel(
            "Role",
            (Query(f"max by (node) (pg_replication_is_replica{{{_N}}})", "{{node}}"),),
            kind="stat",
            names=((0, "primary", "blue"), (1, "standby", "green")),
            alert="DatabasePrimaryDown",
        ),
        Panel(
            "Replication lag",
            (
                Query(
                    f"max by (node) (pg_replication_lag_seconds{{{_N}}})", "{{node}}", _NO_STANDBY
                ),
            ),
            unit="s",
            bounds=((limits.replica_lag_s, "red"),),
            alert="DatabaseReplicaLagging",
        ),
    )


def _load() -> tuple[Panel, ...]:
    hit, read = _rate("pg_stat_database_blks_hit"), _rate("pg_stat_database_blks_read")
    return (
        Panel(
            "Transactions",
            (
                Query(_rate("pg_stat_database_xact_commit"), "{{node}} commits"),
                Query(_rate("pg_stat_database_xact_rollback"), "{{node}} rollbacks"),
            ),
            unit="ops",
        ),
        Panel(
            "Rows changed",
            (
                Query(_rate("pg_stat_database_tup_inserted"), "{{node}} inserted"),
                Query(_rate("pg_stat_database_tup_updated"), "{{node}} updated"),
                Query(_rate("pg_stat_database_tup_deleted"), "{{node}} deleted"),
            ),
            unit="ops",
        ),
        Panel(
            "Found in the cache",
            (Query(f"{hit} / ({hit} + {read} > 0)", "{{node}}"),),
            unit="percentunit",
        ),
    )


def _waiting(limits: Limits) -> tuple[Panel, ...]:
    return (
        Panel(
            "Sessions by state",
            (
                Query(
                    f"sum by (node, state) (pg_stat_activity_count{{{_N}}}) > 0",
                    "{{node}} {{state}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Connections, of the limit",
            (
                Query(
                    f"max by (node) (storewatch_pg_connections{{{_N}}})"
                    f" / max by (node) (storewatch_pg_connections_limit{{{_N}}})",
                    "{{node}}",
                ),
            ),
            unit="percentunit",
            bounds=((limits.connections_ratio, "red"),),
            alert="DatabaseConnectionsNearLimit",
        ),
        Panel(
            "Oldest transaction and longest wait for a lock",
            (
                Query(
                    f"max by (node) (storewatch_pg_oldest_transaction_seconds{{{_N}}})",
                    "{{node}} transaction",
                ),
                Query(
                    f"max by (node) (storewatch_pg_longest_lock_wait_seconds{{{_N}}})",
                    "{{node}} lock",
                ),
            ),
            unit="s",
            bounds=((limits.transaction_age_s, "red"),),
            alert="LongTransaction",
        ),
        Panel(
            "Locks by mode",
            (
                Query(
                    f"sum by (mode) (pg_locks_count{{{_N}}}) > 0", "{{mode}}", "nothing is locked"
                ),
            ),
        ),
        Panel("Deadlocks", (Query(_rate("pg_stat_database_deadlocks"), "{{node}}"),), unit="ops"),
        Panel(
            "Slow statements now",
            (Query(f"max by (node) (storewatch_pg_running_slow_statements{{{_N}}})", "{{node}}"),),
        ),
    )


def _storage(limits: Limits) -> tuple[Panel, ...]:
    return (
        Panel(
            "Size",
            (
                Query(
                    f"max by (node, datname) (pg_database_size_bytes{{{_N}}})",
                    "{{node}} {{datname}}",
                ),
            ),
            unit="bytes",
        ),
        Panel(
            "WAL on disk",
            (Query(f"max by (node) (pg_wal_size_bytes{{{_N}}})", "{{node}}"),),
            "bytes",
        ),
        Panel(
            "Bloat of tables (estimate)",
            (
                Query(
                    f"topk(10, max by (relname) (storewatch_pg_table_bloat_bytes{{{_N}}}))",
                    "{{relname}}",
                    "the estimate needs its function and a first analyze",
                ),
            ),
            unit="bytes",
        ),
        Panel(
            "Checkpoints",
            (
                Query(_rate("pg_stat_checkpointer_num_timed_total"), "{{node}} timed"),
                Query(_rate("pg_stat_checkpointer_num_requested_total"), "{{node}} requested"),
            ),
            unit="ops",
        ),
        Panel(
            "WAL kept for slots",
            (
                Query(
                    f"max by (node, slot_name) (storewatch_pg_slot_retained_bytes{{{_N}}})",
                    "{{node}} {{slot_name}}",
                    "there is no slot",
                ),
            ),
            unit="bytes",
            bounds=((limits.slot_retained_bytes, "red"),),
            alert="ReplicationSlotHoldsWal",
        ),
        Panel(
            "Archiver fails",
            (Query(f"max by (node) (storewatch_pg_archiver_failing{{{_N}}})", "{{node}}"),),
            kind="stat",
            bounds=((1, "red"),),
            alert="WalArchivingFailing",
        ),
    )
