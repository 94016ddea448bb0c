"""Standbys, slots, WAL and its archive.

Source: PostgreSQL documentation, "Monitoring Replication" and "System Administration Functions";
names as in postgres_exporter's pg_replication, pg_replication_slot, pg_wal and pg_stat_archiver.
"""

from monitors.collectors.postgres.part import Field, Part
from monitors.families import counter, gauge, plain_counter

# A standby that streams and has replayed all it received is not behind, however long ago the last
# transaction was; one that does not stream is behind by the age of what it knows.
LAG = Part(
    "lag",
    """
WITH here AS (
  SELECT pg_is_in_recovery() AS standby,
         coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false) AS streaming,
         coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)
           AS unreplayed_bytes,
         coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0) AS replayed_s
)
SELECT CASE WHEN NOT standby OR streaming AND unreplayed_bytes <= 0 THEN 0
            ELSE greatest(replayed_s, 0) END AS lag_s,
       CASE WHEN standby THEN greatest(unreplayed_bytes, 0) END AS unreplayed_bytes,
       CASE WHEN standby THEN streaming::int END AS streaming
  FROM here
""",
    (
        Field("lag_s", "pg_replication_lag_seconds", gauge, "How far a standby's data is behind."),
        Field(
            "unreplayed_bytes",
            "storewatch_pg_unreplayed_bytes",
            gauge,
            "WAL that the standby has received and not replayed.",
        ),
        Field(
            "streaming",
            "storewatch_pg_receiver_streaming",
            gauge,
            "Whether the standby streams from its primary.",
        ),
    ),
)

# %(others)s are the names of the other nodes; a base backup also streams, under its own name.
EXPECTED_STANDBYS = Part(
    "expected-standbys",
    """
SELECT n.name AS standby, coalesce(max((r.state = 'streaming')::int), 0) AS streaming,
       coalesce(max((r.sync_state IN ('sync', 'quorum'))::int), 0) AS synchronous
  FROM unnest(%(others)s::text[]) AS n (name)
  LEFT JOIN pg_stat_replication r ON r.application_name = n.name
 WHERE NOT pg_is_in_recovery() GROUP BY n.name
""",
    (
        Field(
            "streaming",
            "storewatch_pg_standby_streaming",
            gauge,
            "Whether the primary streams to this standby.",
        ),
        Field(
            "synchronous",
            "storewatch_pg_standby_sync",
            gauge,
            "Whether commits wait for this standby.",
        ),
    ),
    ("standby",),
)

STANDBYS = Part(
    "standbys",
    """
SELECT r.application_name, r.state, coalesce(host(r.client_addr), '') AS client_addr,
       coalesce(s.slot_name, '') AS slot_name,
       CASE WHEN NOT pg_is_in_recovery()
            THEN pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn) END AS lag_bytes,
       coalesce(extract(epoch FROM r.replay_lag), 0) AS lag_s
  FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE r.replay_lsn IS NOT NULL ORDER BY 1, 3 LIMIT 20
""",
    (
        Field(
            "lag_bytes",
            "pg_stat_replication_pg_wal_lsn_diff",
            gauge,
            "WAL that the standby has not replayed, in bytes.",
        ),
        Field(
            "lag_s",
            "storewatch_pg_standby_replay_lag_seconds",
            gauge,
            "Time from a write on the primary to its replay on the standby.",
        ),
    ),
    ("application_name", "state", "client_addr", "slot_name"),
)

SLOTS = Part(
    "slots",
    """
WITH here AS (
  SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
              ELSE pg_current_wal_lsn() END AS lsn
)
SELECT slot_name, slot_type, active::int AS active,
       pg_wal_lsn_diff(here.lsn, '0/0') AS lsn,
       greatest(pg_wal_lsn_diff(here.lsn, restart_lsn), 0) AS retained_bytes,
       safe_wal_size
  FROM pg_replication_slots, here ORDER BY slot_name LIMIT 50
""",
    (
        Field(
            "active",
            "pg_replication_slot_slot_is_active",
            gauge,
            "Whether somebody reads the slot.",
        ),
        Field(
            "lsn",
            "pg_replication_slot_slot_current_wal_lsn",
            gauge,
            "Present position in the WAL, in bytes.",
        ),
        Field(
            "safe_wal_size",
            "pg_replication_slot_safe_wal_size_bytes",
            gauge,
            "WAL that may be written before the slot is in danger of being lost.",
        ),
        Field(
            "retained_bytes",
            "storewatch_pg_slot_retained_bytes",
            gauge,
            "WAL that is kept for the slot alone to read.",
        ),
    ),
    ("slot_name", "slot_type"),
    since=130_000,
)

WAL = Part(
    "wal",
    """
SELECT count(*) AS segments, coalesce(sum(size), 0) AS size_bytes
  FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
""",
    (
        Field("segments", "pg_wal_segments", gauge, "WAL segments on the node's disk."),
        Field("size_bytes", "pg_wal_size_bytes", gauge, "Their size."),
    ),
)

WRITTEN = Part(
    "wal-written",
    "SELECT wal_bytes FROM pg_stat_wal",
    (Field("wal_bytes", "storewatch_pg_wal_written_bytes", counter, "WAL the node has written."),),
    since=140_000,
)

ARCHIVER = Part(
    "archiver",
    """
SELECT archived_count, failed_count,
       extract(epoch FROM now() - last_archived_time) AS age_s,
       coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL)::int
         AS failing,
       CASE WHEN current_setting('archive_mode') = 'always'
              OR current_setting('archive_mode') = 'on' AND NOT pg_is_in_recovery() THEN
         (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready')
         * pg_size_bytes(current_setting('wal_segment_size')) END AS waiting_bytes
  FROM pg_stat_archiver
""",
    (
        Field(
            "archived_count",
            "pg_stat_archiver_archived_count",
            plain_counter,
            "WAL files archived.",
        ),
        Field(
            "failed_count",
            "pg_stat_archiver_failed_count",
            plain_counter,
            "Attempts to archive that failed.",
        ),
        Field(
            "age_s",
            "pg_stat_archiver_last_archive_age",
            gauge,
            "Seconds since a WAL file was archived.",
        ),
        Field(
            "failing",
            "storewatch_pg_archiver_failing",
            gauge,
            "Whether the newest attempt to archive failed.",
        ),
        Field(
            "waiting_bytes",
            "storewatch_pg_archive_waiting_bytes",
            gauge,
            "Finished WAL segments that are not archived yet.",
        ),
    ),
    since=120_000,
)

PARTS = (LAG, EXPECTED_STANDBYS, STANDBYS, SLOTS, WAL, WRITTEN, ARCHIVER)
