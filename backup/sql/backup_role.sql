-- The account that storewatch backs PostgreSQL up with: it replicates and reads, and writes nothing.
-- For PostgreSQL 17 or newer.
--
-- Run once on the primary, as a superuser, in the shop's database:
--   psql -v ON_ERROR_STOP=1 -d shop -f backup_role.sql
--   psql -d shop -c '\password storewatch_backup'
-- and let it in from the backup host in pg_hba.conf, twice: for `shop` and for `replication`.

CREATE ROLE storewatch_backup LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE
  CONNECTION LIMIT 10;

-- Settings and statistics; every table, for row counts and logical dumps; a checkpoint at once.
GRANT pg_monitor, pg_read_all_data, pg_checkpoint TO storewatch_backup;

-- `storewatch backup wal` ends a segment when it has waited long enough.
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO storewatch_backup;

DO $$ BEGIN
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO storewatch_backup', current_database());
END $$;
