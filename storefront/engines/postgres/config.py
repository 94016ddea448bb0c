"""Configuration of a node, written afresh at every start."""

from storefront.engines.postgres.node import Node
from storefront.engines.process import write_file
from storefront.settings import HOST

_POSTGRESQL = """\
cluster_name = '{name}'
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 80
reserved_connections = 3
shared_buffers = 64MB
password_encryption = scram-sha-256
shared_preload_libraries = 'pg_stat_statements'
fsync = on
full_page_writes = on
synchronous_commit = on
synchronous_standby_names = '{synchronous}'
wal_level = replica
wal_log_hints = on
summarize_wal = on
wal_keep_size = 512MB
max_wal_size = 512MB
max_wal_senders = 10
max_replication_slots = 10
wal_sender_timeout = 10s
wal_receiver_timeout = 10s
wal_retrieve_retry_interval = 1s
hot_standby = on
hot_standby_feedback = on
max_standby_streaming_delay = 5s
recovery_target_timeline = 'latest'
primary_conninfo = '{primary}'
client_connection_check_interval = 1s
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = off
log_line_prefix = '%m [%p] %e '
# Nothing that a shopper typed reaches the log: no statements, no parameters, no DETAIL lines.
log_statement = 'none'
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
log_error_verbosity = terse
"""

_HBA = """\
# SCRAM everywhere, loopback only, and no trust, not even for the superuser.
host all all {host}/32 scram-sha-256
host replication all {host}/32 scram-sha-256
"""

REPLICATOR = "replicator"


def standby_name(node: Node) -> str:
    """Return the value of synchronous_standby_names that waits for the node."""
    return f'"{node.name}"'


def conninfo(node: Node, reader: Node, user: str, *, replication: bool, suffix: str = "") -> str:
    """Return how `reader` reaches `node`; the password is in the reader's own passfile.

    Args:
        node: the server.
        reader: the client.
        user: the role.
        replication: a stream of WAL; it names itself after the reader.
        suffix: makes the name another one, so that the stream does not count as the standby.
    """
    text = f"host={HOST} port={node.port} user={user} passfile={reader.passfile} sslmode=disable"
    if replication:
        return f"{text} application_name={reader.name}{suffix}"
    return f"{text} dbname=postgres connect_timeout=5"


def write_passfile(node: Node) -> None:
    """Write the passwords of the node's own programs (0600), never to be seen on argv."""
    replicator = node.settings.secret("REPLICATION_DB_PASSWORD")
    superuser = node.settings.secret("POSTGRES_PASSWORD")
    lines = f"{HOST}:*:*:{REPLICATOR}:{replicator}\n{HOST}:*:*:postgres:{superuser}\n"
    write_file(node.passfile, lines, node.account)


def write_config(node: Node, *, standby: bool, synchronous: bool) -> None:
    """Write postgresql.conf, pg_hba.conf and the standby's mark into the data folder.

    Args:
        node: whose folder.
        standby: follow the peer instead of taking writes.
        synchronous: a primary's commits wait until the peer has them on disk.
    """
    names = standby_name(node.peer) if synchronous and not standby else ""
    text = _POSTGRESQL.format(
        name=node.name,
        host=HOST,
        port=node.port,
        synchronous=names,
        primary=conninfo(node.peer, node, REPLICATOR, replication=True),
    )
    write_file(node.data / "postgresql.conf", text, node.account)
    write_file(node.data / "pg_hba.conf", _HBA.format(host=HOST), node.account)
    write_file(node.data / "postgresql.auto.conf", "", node.account)
    if standby:
        write_file(node.data / "standby.signal", "", node.account)
