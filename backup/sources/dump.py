"""A logical dump: pg_dump of the database, pg_dumpall of the roles; independent of the files."""

import re
import subprocess
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backup.seal import CHUNK_BYTES
from backup.sources.base_backup import BaseBackup
from backup.sources.postgres_login import (
    last_line,
    logged_in,
    login_environment,
    node_of,
    program_conninfo,
)
from backup.sources.settings import PostgresSourceSettings
from backup.sources.source import Captured, OpenObject
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError

NAME = "dump"
GLOBALS = "globals.sql"
# pg_dump waits for its locks under a statement time-out, and takes many tables in one statement.
_LOCKED = re.compile(r"(?:lock|statement) timeout.*LOCK TABLE", re.DOTALL)
_FACTS = """
SELECT clock_timestamp(), current_setting('server_version'),
       has_table_privilege('pg_catalog.pg_authid', 'SELECT'), pg_database_size(current_database()),
       (SELECT system_identifier::text FROM pg_control_system())
"""


def object_of(database: str) -> str:
    """Return the name of the object that holds a database."""
    return f"dump-{re.sub('[^A-Za-z0-9]', '-', database)}.pgdump"


class DumpSource:
    """The database that the URL names.

    Args:
        settings: of the source.
        programs: folder of pg_dump.
        scratch: private folder for messages and the password file.
    """

    name = NAME

    def __init__(self, settings: PostgresSourceSettings, programs: Path, scratch: Path) -> None:
        self._settings = settings
        self._programs = programs
        self._scratch = scratch
        database = conninfo_to_dict(settings.url.get_secret_value())["dbname"]
        self._database = str(database)

    def capture(self, open_object: OpenObject) -> Captured:
        """Dump roles and tablespaces, then the database.

        Raises:
            BackupError: the server does not answer, a table stays locked, or a program fails.
        """
        facts, node, size = self._look()
        passwords = [] if facts["role_passwords"] else ["--no-role-passwords"]
        roles = ["pg_dumpall", "--globals-only", f"--database={self._database}", *passwords]
        self._stream(open_object, GLOBALS, roles, node, None)
        wait_ms = int(self._settings.lock_wait * 1000)
        words = ["pg_dump", "--format=custom", "--compress=none", f"--lock-wait-timeout={wait_ms}"]
        self._stream(open_object, facts["object"], words, node, size)
        return Captured(facts)

    def _look(self) -> tuple[dict[str, Any], dict[str, str], int]:
        with logged_in(self._settings.url, "dump") as connection:
            node = node_of(connection)
            base = BaseBackup(self._settings, self._programs, self._scratch, node)
            base.refuse_other_major(connection.info.server_version // 10000)
            row = connection.execute(_FACTS).fetchone()
        assert row is not None
        facts = {
            "object": object_of(self._database),
            "globals": GLOBALS,
            "database": self._database,
            "snapshot_at": rfc3339(row[0]),
            "version": row[1],
            "role_passwords": row[2],
            "system_identifier": row[4],
        }
        return facts, node, row[3]

    def _stream(
        self,
        open_object: OpenObject,
        name: str,
        words: list[str],
        node: dict[str, str],
        size: int | None,
    ) -> None:
        program, *options = words
        messages = self._scratch / f"{program}.log"
        conninfo = program_conninfo(self._settings.url, **node)
        if program == "pg_dumpall":
            conninfo = make_conninfo(program_conninfo(self._settings.url, dbname="", **node))
        with (
            login_environment(self._settings.url, self._scratch) as environment,
            messages.open("wb") as stderr,
            subprocess.Popen(
                [str(self._programs / program), f"--dbname={conninfo}", "--no-password", *options],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
            ) as process,
        ):
            assert process.stdout is not None
            try:
                with open_object(name, size) as sink:
                    while chunk := process.stdout.read(CHUNK_BYTES):
                        sink.write(chunk)
                    if process.wait() != 0:
                        raise BackupError(self._why(messages, program))
            finally:
                process.kill()

    def _why(self, messages: Path, program: str) -> str:
        text = messages.read_text(errors="replace")
        if _LOCKED.search(text):
            return (
                "dump: a table was locked by a DDL command for longer than "
                f"{self._settings.lock_wait:g} s (sources.postgres.lock_wait); run the dump again "
                "when it is over"
            )
        return f"dump: {last_line(messages, program)}"
