-- The account that storewatch watches PostgreSQL with: it sees statistics, reads what it is granted
-- by name, and writes nothing. For PostgreSQL 14 or newer.
--
-- Run once on the primary, as a superuser, in the shop's database:
--   psql -v ON_ERROR_STOP=1 -d shop -f monitoring_role.sql
--   psql -d shop -c '\password storewatch_monitor'
-- then grant the columns that your business queries read, such as
--   GRANT SELECT (id, state, total_cents, created_at, paid_at) ON orders TO storewatch_monitor;

CREATE ROLE storewatch_monitor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
  CONNECTION LIMIT 20;

-- Statistics views, settings, sizes and the lists of WAL files; no table of anybody's.
GRANT pg_monitor TO storewatch_monitor;

-- A way in when the shop has taken all connections (PostgreSQL 16; see reserved_connections).
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    GRANT pg_use_reserved_connections TO storewatch_monitor;
  END IF;
END $$;

-- Second line of defence: even a right that was granted by mistake writes nothing, and what is
-- forgotten ends by itself. The exporter sets shorter times of its own.
ALTER ROLE storewatch_monitor SET default_transaction_read_only = on;

ALTER ROLE storewatch_monitor SET statement_timeout = '30s';

ALTER ROLE storewatch_monitor SET lock_timeout = '1s';

ALTER ROLE storewatch_monitor SET idle_in_transaction_session_timeout = '30s';

ALTER ROLE storewatch_monitor SET temp_file_limit = '256MB';

DO $$ BEGIN
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO storewatch_monitor', current_database());
END $$;

-- Mean width of each table's rows, for the estimate of bloat: pg_stats would show it only to those
-- who may read the rows themselves. No value of any column comes out of this.
CREATE SCHEMA storewatch;

CREATE FUNCTION storewatch.row_widths() RETURNS TABLE (relid oid, width_bytes float8)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'SELECT starelid, sum((1 - stanullfrac) * stawidth)::float8 FROM pg_statistic
      WHERE NOT stainherit GROUP BY starelid';

REVOKE ALL ON FUNCTION storewatch.row_widths() FROM PUBLIC;

GRANT USAGE ON SCHEMA storewatch TO storewatch_monitor;

GRANT EXECUTE ON FUNCTION storewatch.row_widths() TO storewatch_monitor;
