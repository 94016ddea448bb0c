"""Who is connected and what they do: sessions, locks, transactions, statements.

Source: PostgreSQL documentation, "The Cumulative Statistics System"; names and zero-filled rows as
in postgres_exporter's pg_stat_activity and pg_locks.
"""

from monitors.collectors.postgres.part import Field, Part
from monitors.families import gauge, unknown

SERVER = Part(
    "server",
    """
SELECT pg_is_in_recovery()::int AS in_recovery,
       extract(epoch FROM pg_postmaster_start_time()) AS started,
       current_setting('max_connections')::int AS max_connections,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0) AS usable,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
""",
    (
        Field(
            "in_recovery",
            "pg_replication_is_replica",
            gauge,
            "Whether the node is a standby.",
        ),
        Field("started", "pg_postmaster_start_time_seconds", gauge, "Unix time of the start."),
        Field("max_connections", "pg_settings_max_connections", gauge, "Limit of connections."),
        Field(
            "usable",
            "storewatch_pg_connections_limit",
            gauge,
            "Connections that ordinary accounts may open: max_connections less the reserved ones.",
        ),
        Field("used", "storewatch_pg_connections", gauge, "Connections of clients."),
    ),
)

STATIC = Part(
    "static",
    "SELECT current_setting('server_version') AS short_version, version() AS version, 1 AS one",
    (Field("one", "pg_static", unknown, "Version of the server."),),
    ("short_version", "version"),
)

ACTIVITY = Part(
    "activity",
    """
WITH databases AS (
  SELECT oid, datname FROM pg_database WHERE datallowconn AND NOT datistemplate
  ORDER BY datname LIMIT 50
), states (state) AS (
  VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'),
         ('fastpath function call'), ('disabled')
)
SELECT d.datname, s.state, count(a.pid) AS count,
       coalesce(max(extract(epoch FROM now() - a.xact_start)), 0) AS longest_s
  FROM databases d CROSS JOIN states s
  LEFT JOIN pg_stat_activity a ON a.datid = d.oid AND a.state = s.state
 GROUP BY d.datname, s.state
""",
    (
        Field("count", "pg_stat_activity_count", gauge, "Sessions by state."),
        Field(
            "longest_s",
            "pg_stat_activity_max_tx_duration",
            gauge,
            "Age of the longest transaction in seconds.",
        ),
    ),
    ("datname", "state"),
)

LOCKS = Part(
    "locks",
    """
WITH databases AS (
  SELECT oid, datname FROM pg_database WHERE datallowconn AND NOT datistemplate
  ORDER BY datname LIMIT 50
), modes (mode) AS (
  VALUES ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'),
         ('shareupdateexclusivelock'), ('sharelock'), ('sharerowexclusivelock'),
         ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')
)
SELECT d.datname, m.mode, count(l.mode) AS count
  FROM databases d CROSS JOIN modes m
  LEFT JOIN pg_locks l ON l.database = d.oid AND lower(l.mode) = m.mode
 GROUP BY d.datname, m.mode
""",
    (Field("count", "pg_locks_count", gauge, "Locks by mode, held or waited for."),),
    ("datname", "mode"),
)

WAITS = Part(
    "waits",
    """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock') AS blocked,
       coalesce(max(extract(epoch FROM now() - state_change))
         FILTER (WHERE wait_event_type = 'Lock'), 0) AS blocked_s,
       count(*) FILTER (WHERE now() - xact_start > make_interval(secs => %(long_s)s)) AS long,
       coalesce(max(extract(epoch FROM now() - xact_start)), 0) AS oldest_s,
       coalesce(max(extract(epoch FROM now() - state_change))
         FILTER (WHERE state LIKE 'idle in transaction%%'), 0) AS idle_s,
       count(*) FILTER (WHERE state = 'active'
         AND now() - query_start > make_interval(secs => %(slow_s)s)) AS slow,
       coalesce(max(extract(epoch FROM now() - query_start))
         FILTER (WHERE state = 'active'), 0) AS statement_s
  FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
""",
    (
        Field("blocked", "storewatch_pg_blocked_sessions", gauge, "Sessions waiting for a lock."),
        Field(
            "blocked_s",
            "storewatch_pg_longest_lock_wait_seconds",
            gauge,
            "Run time of the longest statement that waits for a lock.",
        ),
        Field(
            "long",
            "storewatch_pg_long_transactions",
            gauge,
            "Transactions older than monitors.postgres.long_transaction.",
        ),
        Field(
            "oldest_s",
            "storewatch_pg_oldest_transaction_seconds",
            gauge,
            "Age of the oldest transaction.",
        ),
        Field(
            "idle_s",
            "storewatch_pg_longest_idle_in_transaction_seconds",
            gauge,
            "How long a session has held a transaction open and done nothing.",
        ),
        Field(
            "slow",
            "storewatch_pg_running_slow_statements",
            gauge,
            "Statements running for longer than monitors.postgres.slow_statement.",
        ),
        Field(
            "statement_s",
            "storewatch_pg_longest_statement_seconds",
            gauge,
            "Run time of the statement that has run longest.",
        ),
    ),
)

# Statements one by one would be series without bound: each new text is a new queryid.
STATEMENTS = Part(
    "statements",
    """
SELECT count(*) FILTER (WHERE mean_exec_time > %(slow_s)s * 1000) AS slow,
       coalesce(max(mean_exec_time), 0) / 1000 AS slowest_s, count(*) AS known
  FROM pg_stat_statements s
  JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
""",
    (
        Field(
            "slow",
            "storewatch_pg_slow_statements",
            gauge,
            "Kinds of statements whose mean time is above monitors.postgres.slow_statement.",
        ),
        Field(
            "slowest_s",
            "storewatch_pg_slowest_statement_mean_seconds",
            gauge,
            "Mean time of the slowest kind of statement.",
        ),
        Field(
            "known",
            "storewatch_pg_known_statements",
            gauge,
            "Kinds of statements that pg_stat_statements holds.",
        ),
    ),
    since=130_000,
    requires="""
to_regclass('pg_stat_statements') IS NOT NULL AND EXISTS (
  SELECT FROM pg_settings
   WHERE name = 'shared_preload_libraries' AND setting LIKE '%%pg_stat_statements%%')""",
)

PARTS = (SERVER, STATIC, ACTIVITY, LOCKS, WAITS, STATEMENTS)
