"""Run pg_basebackup: a full base backup, or what changed since an earlier one."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.children import widen
from backup.seal import CHUNK_BYTES
from backup.sources.postgres_login import last_line, login_environment, program_conninfo
from backup.sources.settings import PostgresSourceSettings
from backup.sources.source import OpenObject
from backup.sources.tar_tap import TarTap
from storewatch.core.errors import BackupError

MANIFEST = "backup_manifest"
_START = re.compile(r"write-ahead log start point: ([0-9A-F]+/[0-9A-F]+) on timeline (\d+)")
_STOP = re.compile(r"write-ahead log end point: ([0-9A-F]+/[0-9A-F]+)")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
# What the server says when it cannot tell what changed since the parent.
# Source: PostgreSQL 18, src/backend/backup/basebackup_incremental.c.
_NO_INCREMENT = re.compile(
    r"WAL summar|summarize_wal|incremental|backup manifest|manifest timeline"
)


class NoIncrementError(BackupError):
    """The server cannot tell what changed; a full backup can still be made."""


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """One run of pg_basebackup.

    Attributes:
        settings: of the source.
        programs: folder of pg_basebackup.
        scratch: private folder for messages, password file and the backup's own manifest.
        node: host and port.
    """

    settings: PostgresSourceSettings
    programs: Path
    scratch: Path
    node: dict[str, str]

    def refuse_other_major(self, server: int) -> None:
        """Make sure that our programs are of the server's major version.

        Raises:
            BackupError: they are not.
        """
        ours = major_of(self.programs / "pg_basebackup")
        if ours != server:
            raise BackupError(
                f"postgres: the server is PostgreSQL {server}, the programs in {self.programs} are "
                f"of {ours}; set sources.postgres.bin to the bin folder of PostgreSQL {server}"
            )

    def run(
        self, open_object: OpenObject, name: str, size_bytes: int | None, parent: Path | None
    ) -> dict[str, Any]:
        """Stream the archive into an object; the backup's manifest is left in the scratch folder.

        Args:
            open_object: takes the archive.
            name: of the object.
            size_bytes: estimate.
            parent: manifest of the backup to build on, None for a full one.

        Returns:
            start_lsn, stop_lsn, stream_timeline.

        Raises:
            NoIncrementError: the server cannot make an incremental one.
            BackupError: pg_basebackup failed.
        """
        messages = self.scratch / "pg_basebackup.log"
        with (
            login_environment(self.settings.url, self.scratch) as environment,
            messages.open("wb") as stderr,
            subprocess.Popen(
                self._command(parent), stdout=subprocess.PIPE, stderr=stderr, env=environment
            ) as process,
        ):
            assert process.stdout is not None
            widen(process.stdout.fileno())
            try:
                with (
                    open_object(name, size_bytes) as sink,
                    TarTap(MANIFEST, self.scratch / MANIFEST) as tap,
                ):
                    while chunk := process.stdout.read(CHUNK_BYTES):
                        sink.write(chunk)
                        tap.feed(chunk)
                    if process.wait() != 0:
                        self._fail(last_line(messages, "pg_basebackup"), parent)
            finally:
                process.kill()
        return _points(messages.read_text(errors="replace"))

    def _fail(self, line: str, parent: Path | None) -> None:
        if parent is not None and _NO_INCREMENT.search(line):
            raise NoIncrementError(line)
        raise BackupError(f"postgres: {line}")

    def _command(self, parent: Path | None) -> list[str]:
        return [
            str(self.programs / "pg_basebackup"),
            f"--dbname={program_conninfo(self.settings.url, dbname='', **self.node)}",
            "--pgdata=-",
            "--format=tar",
            "--wal-method=fetch",
            f"--checkpoint={self.settings.checkpoint}",
            "--label=storewatch",
            "--no-password",
            "--verbose",
            *([f"--incremental={parent}"] if parent else []),
        ]


def major_of(program: Path) -> int:
    """Return the major version of one of PostgreSQL's programs.

    Raises:
        BackupError: it does not say one.
    """
    try:
        said = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError as error:
        raise BackupError(f"postgres: {program}: {error.strerror}") from error
    match = _VERSION.search(said)
    if match is None:
        raise BackupError(f"postgres: {program} --version says {said.strip()!r}")
    return int(match[1])


def _points(messages: str) -> dict[str, Any]:
    start, stop = _START.search(messages), _STOP.search(messages)
    if start is None or stop is None:
        raise BackupError("postgres: pg_basebackup did not say from where to where its WAL goes")
    return {"start_lsn": start[1], "stop_lsn": stop[1], "stream_timeline": int(start[2])}
