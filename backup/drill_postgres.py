"""Start a restored PostgreSQL where it can harm nobody.

It listens on 127.0.0.1 and a private socket only, archives nothing, follows nobody, subscribes to
nothing, and reads a configuration of its own instead of production's.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from backup.children import ending_with_us, socket_folder
from storewatch.core.errors import BackupError
from storewatch.store.unprivileged import demote_kwargs, own, reachable, unprivileged_user

_POLL_S = 0.05
_STOP_S = 20.0
_REDO = re.compile(r"redo done at .* elapsed: ([0-9.]+) s")

# On the command line, so that neither postgresql.conf nor postgresql.auto.conf can undo it.
_ISOLATION = {
    "listen_addresses": "127.0.0.1",
    "archive_mode": "off",
    "archive_command": "",
    "archive_library": "",
    "restore_command": "false",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
    "hot_standby": "off",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "logging_collector": "off",
    "log_destination": "stderr",
    "ssl": "off",
    "lc_messages": "C",
    "shared_buffers": "64MB",
    "max_prepared_transactions": "256",
    "recovery_target_action": "promote",
}


class RestoredPostgres:
    """A restored data folder with a server on it, stopped at the end of the block.

    Args:
        data: the data folder.
        programs: bin folder of PostgreSQL.
        port: on 127.0.0.1.
        start_timeout_s: for replay and start together.
        login: database and role to look at it with.
    """

    def __init__(
        self, data: Path, programs: Path, port: int, start_timeout_s: float, login: tuple[str, str]
    ) -> None:
        self._data = data
        self._programs = programs
        self._port = port
        self._start_timeout_s = start_timeout_s
        self._login = login
        self._user = unprivileged_user()
        self._sockets = socket_folder(data.parent)
        self._process: subprocess.Popen[bytes] | None = None
        self.log = data.with_name("postgres.log")
        self.replay_s = 0.0

    def __enter__(self) -> "RestoredPostgres":
        if not reachable(self._data, self._user):
            assert self._user is not None
            raise BackupError(
                f"user {self._user.name} cannot reach {self._data}; name a scratch folder below "
                "one that everybody may enter, such as /var/tmp/storewatch"
            )
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def connect(self) -> psycopg.Connection[Any]:
        """Connect over the private socket."""
        return psycopg.connect(self._conninfo(), autocommit=True)

    def redo_s(self) -> float | None:
        """Return the seconds that WAL was replayed for; None when the server does not say.

        Source: xlogrecovery.c, `redo done at ... elapsed: 0.02 s`.
        """
        found = _REDO.search(self.log.read_text(errors="replace"))
        return float(found[1]) if found else None

    def _conninfo(self) -> str:
        database, role = self._login
        return make_conninfo(
            host=self._sockets.name, port=self._port, dbname=database, user=role, connect_timeout=5
        )

    def stop(self) -> None:
        """Stop the server (fast, then immediate, then by force) and remove its socket."""
        process = self._process
        if process is not None and process.poll() is None:
            for one in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(one)
                try:
                    process.wait(_STOP_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        self._sockets.cleanup()

    def _start(self) -> None:
        (self._data / "recovery.signal").touch()
        (self._data / "standby.signal").unlink(missing_ok=True)
        settings = self._data.with_name("postgresql.conf")
        settings.touch()
        access = self._data.with_name("pg_hba.conf")
        access.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        for path in (self._data, settings, access, Path(self._sockets.name)):
            own(path, self._user)
        files = {
            "config_file": settings,
            "hba_file": access,
            "unix_socket_directories": self._sockets.name,
            "port": self._port,
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in {**_ISOLATION, **files}.items():
            command += ["-c", f"{name}={value}"]
        begun = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={k: v for k, v in os.environ.items() if not k.startswith("PG")},
                start_new_session=True,
                preexec_fn=ending_with_us(signal.SIGQUIT),
                **demote_kwargs(self._user),
            )
        self._wait(begun)
        self.replay_s = time.monotonic() - begun

    def _wait(self, begun: float) -> None:
        assert self._process is not None
        while not self._answers():
            try:
                self._process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() - begun < self._start_timeout_s:
                    continue
                raise BackupError(
                    f"the restored server was not up after {self._start_timeout_s:g} s: "
                    f"{self._last_words()}"
                ) from None
            raise BackupError(f"the restored server ended: {self._last_words()}")

    def _answers(self) -> bool:
        return psycopg.pq.PGconn.ping(self._conninfo().encode()) == psycopg.pq.Ping.OK

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        telling = [one for one in lines if "FATAL" in one or "PANIC" in one]
        return (telling or lines or ["no message"])[-1]
