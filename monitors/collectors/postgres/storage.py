"""Databases, tables, their bloat, checkpoints.

Nothing here takes a lock on a table: sizes come from the catalogue, not from pg_relation_size,
which waits behind an ALTER TABLE.

Source: PostgreSQL documentation, "The Cumulative Statistics System"; names as in
postgres_exporter's pg_stat_database, pg_stat_user_tables, pg_stat_checkpointer, pg_stat_bgwriter.
"""

from monitors.collectors.postgres.part import Field, Part, columns
from monitors.families import counter, gauge, plain_counter

DATABASES = Part(
    "databases",
    """
SELECT s.* FROM pg_stat_database s JOIN pg_database d ON d.oid = s.datid
 WHERE datallowconn AND NOT datistemplate ORDER BY d.datname LIMIT 50
""",
    (
        *columns("pg_stat_database", gauge, "numbackends"),
        *columns(
            "pg_stat_database", plain_counter,
            "xact_commit", "xact_rollback", "blks_read", "blks_hit", "blk_read_time",
            "blk_write_time", "tup_returned", "tup_fetched", "tup_inserted", "tup_updated",
            "tup_deleted", "conflicts", "temp_files", "temp_bytes", "deadlocks",
        ),
    ),
    ("datid", "datname"),
)  # fmt: skip

SIZES = Part(
    "sizes",
    """
SELECT datname, pg_database_size(oid) AS size_bytes, age(datfrozenxid) AS xid_age
  FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname LIMIT 50
""",
    (
        Field("size_bytes", "pg_database_size_bytes", gauge, "Size of the database."),
        Field(
            "xid_age",
            "pg_database_wraparound_age_datfrozenxid_seconds",
            gauge,
            "Age of the oldest unfrozen transaction ID, in transactions whatever its name says.",
        ),
    ),
    ("datname",),
)

TABLES = Part(
    "tables",
    """
SELECT current_database() AS datname, s.*,
       extract(epoch FROM s.last_autovacuum) AS autovacuumed,
       extract(epoch FROM s.last_autoanalyze) AS autoanalyzed,
       c.relpages::float8 * current_setting('block_size')::int AS size_bytes
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
 ORDER BY c.relpages DESC, s.relid LIMIT %(maximum_tables)s
""",
    (
        *columns(
            "pg_stat_user_tables", plain_counter,
            "seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd",
            "n_tup_del", "n_tup_hot_upd", "autovacuum_count", "autoanalyze_count",
        ),
        *columns("pg_stat_user_tables", gauge, "n_live_tup", "n_dead_tup", "n_mod_since_analyze"),
        Field(
            "autovacuumed",
            "pg_stat_user_tables_last_autovacuum",
            gauge,
            "Unix time of the last autovacuum.",
        ),
        Field(
            "autoanalyzed",
            "pg_stat_user_tables_last_autoanalyze",
            gauge,
            "Unix time of the last autoanalyze.",
        ),
        Field(
            "size_bytes",
            "storewatch_pg_table_size_bytes",
            gauge,
            "Size of the table without indexes and TOAST at its last vacuum or analyze.",
        ),
    ),
    ("datname", "schemaname", "relname"),
)  # fmt: skip

# Pages beyond those that the live rows need. A row costs its line pointer (4 bytes), its header (23
# bytes, aligned to 8) and its columns (aligned to 8); a page has a header of 24 bytes.
# Source: PostgreSQL documentation, "Database Page Layout"; widths are those of the last ANALYZE.
BLOAT = Part(
    "bloat",
    """
WITH biggest AS (
  SELECT c.oid, n.nspname, c.relname, c.relpages, c.reltuples,
         current_setting('block_size')::int AS page_bytes,
         coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions)
                    WHERE option_name = 'fillfactor'), 100) AS fill_percent
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND c.reltuples > 0 AND c.relpages > 0
     AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   ORDER BY c.relpages DESC, c.oid LIMIT %(maximum_tables)s
), needed AS (
  SELECT b.*, ceil(b.reltuples / greatest(1, floor(
           (b.page_bytes * b.fill_percent / 100.0 - 24)
           / (4 + 24 + ceil(w.width_bytes / 8) * 8)))) AS pages
    FROM biggest b JOIN storewatch.row_widths() w ON w.relid = b.oid
)
SELECT current_database() AS datname, nspname AS schemaname, relname,
       greatest(relpages - pages, 0) * page_bytes AS bloat_bytes
  FROM needed
""",
    (
        Field(
            "bloat_bytes",
            "storewatch_pg_table_bloat_bytes",
            gauge,
            "Estimate of the table's space that its live rows do not need.",
        ),
    ),
    ("datname", "schemaname", "relname"),
    requires="""
EXISTS (
  SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE n.nspname = 'storewatch' AND p.proname = 'row_widths'
     AND has_schema_privilege(n.oid, 'usage') AND has_function_privilege(p.oid, 'execute'))""",
)

CHECKPOINTER = Part(
    "checkpointer",
    "SELECT * FROM pg_stat_checkpointer",
    columns(
        "pg_stat_checkpointer", counter,
        "num_timed", "num_requested", "restartpoints_timed", "restartpoints_req",
        "restartpoints_done", "write_time", "sync_time", "buffers_written",
    ),
    since=170_000,
)  # fmt: skip

_BACKGROUND = columns(
    "pg_stat_bgwriter", counter, "buffers_clean", "maxwritten_clean", "buffers_alloc"
)
BGWRITER = Part("bgwriter", "SELECT * FROM pg_stat_bgwriter", _BACKGROUND, since=170_000)
BGWRITER_BEFORE_17 = Part(
    "bgwriter",
    "SELECT * FROM pg_stat_bgwriter",
    (
        *_BACKGROUND,
        *columns(
            "pg_stat_bgwriter", counter,
            "checkpoints_timed", "checkpoints_req", "checkpoint_write_time",
            "checkpoint_sync_time", "buffers_checkpoint", "buffers_backend",
        ),
    ),
    before=170_000,
)  # fmt: skip

PARTS = (DATABASES, SIZES, TABLES, BLOAT, CHECKPOINTER, BGWRITER, BGWRITER_BEFORE_17)
