"""pg_receivewal as a child process: it writes segments and history files into a folder.

Source: PostgreSQL 18, pg_receivewal: a segment under way is called `<name>.partial`; it goes on
behind the greatest segment in the folder, else where the slot is.
"""

import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

from backup.children import ending_with_us
from backup.sources.postgres_login import last_line, login_environment, program_conninfo
from backup.sources.settings import PostgresSourceSettings
from backup.wal.settings import WalSettings
from storewatch.store.files import sync_folder

_STOP_S = 10.0
_REMOVED = "has already been removed"
_LOST = "can no longer access replication slot"


class Receiver:
    """One connection to one node; it ends when the node does.

    Args:
        source: of the settings.
        wal: of the settings.
        programs: folder of pg_receivewal.
        node: host and port of the primary.
        folder: private, of the archiver; WAL goes into its `received`.
    """

    def __init__(
        self,
        source: PostgresSourceSettings,
        wal: WalSettings,
        programs: Path,
        node: dict[str, str],
        folder: Path,
    ) -> None:
        self._stack = ExitStack()
        self._log = folder / "pg_receivewal.log"
        environment = self._stack.enter_context(login_environment(source.url, folder))
        conninfo = program_conninfo(source.url, dbname="", application_name=wal.slot, **node)
        command = [
            str(programs / "pg_receivewal"),
            f"--dbname={conninfo}",
            f"--directory={folder / 'received'}",
            f"--slot={wal.slot}",
            "--status-interval=1",
            "--no-loop",
            "--no-password",
            *(["--synchronous"] if wal.synchronous else []),
        ]
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=environment,
                    preexec_fn=ending_with_us(signal.SIGTERM),
                )
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stack.close()

    @property
    def ended(self) -> bool:
        """Tell whether it gave up."""
        return self._process.poll() is not None

    def reason(self) -> str:
        """Return why it gave up, one line."""
        return last_line(self._log, "pg_receivewal")

    def wal_is_gone(self) -> bool:
        """Tell whether it gave up because the server no longer has the WAL that comes next."""
        text = self._log.read_text(errors="replace")
        return _REMOVED in text or _LOST in text


def place_marker(folder: Path, name: str, segment_bytes: int) -> None:
    """Tell pg_receivewal to go on behind a segment that we no longer keep.

    It looks at names and sizes only, so the file is empty blocks; nobody may take it for WAL.
    """
    with (folder / name).open("wb") as file:
        file.truncate(segment_bytes)
    sync_folder(folder)
