"""supervisord: its configuration, its socket, and what is left when it was killed."""

import contextlib
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from storewatch.core.commands import resolve
from storewatch.core.errors import UnreachableError
from storewatch.core.names import HOME_VARIABLE
from storewatch.settings import ProcessSettings
from storewatch.store.files import write_atomic

PROCESS_VARIABLE = "STOREWATCH_PROCESS"
_SOCKET_PATH_LIMIT = 100  # sun_path holds 108 bytes, supervisord appends its pid while binding


class Supervisor:
    """One supervisord that belongs to one state folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.run_folder = home / "run"
        self.log_folder = home / "logs"
        self.config_file = self.run_folder / "supervisord.conf"
        self.pid_file = self.run_folder / "supervisord.pid"
        self.socket = self.run_folder / "supervisor.sock"
        if len(str(self.socket)) > _SOCKET_PATH_LIMIT:
            name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"storewatch-{os.getuid()}-{name}.sock"

    def rpc(self) -> Any:
        """Return supervisord's XML-RPC interface `supervisor`."""
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport).supervisor

    def alive(self) -> bool:
        """Tell whether supervisord answers on its socket."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(self.socket))
            self.rpc().getState()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def launch(self, processes: Iterable[ProcessSettings], environment: dict[str, str]) -> None:
        """Start supervisord, detached, with every process stopped.

        Raises:
            UnreachableError: it did not answer within 15 seconds.
        """
        self.run_folder.mkdir(parents=True, exist_ok=True)
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        write_atomic(self.config_file, self._configuration(processes).encode(), mode=0o600)
        with (self.log_folder / "supervisord.out").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self.config_file)],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.run_folder,
            )
        deadline = time.monotonic() + 15
        while not self.alive():
            if child.poll() is not None or time.monotonic() > deadline:
                raise UnreachableError(
                    f"supervisord did not start; see {self.log_folder / 'supervisord.log'}"
                )
            time.sleep(0.05)

    def shutdown(self, within_s: float) -> None:
        """Stop supervisord and all its processes; frozen ones are woken so that they can end.

        Raises:
            UnreachableError: it did not end in time.
        """
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for child in process.children(recursive=True):
                if child.status() == psutil.STATUS_STOPPED:
                    child.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + within_s
        while _lives(pid):
            if time.monotonic() > deadline:
                raise UnreachableError(f"supervisord (pid {pid}) did not end in {within_s:.0f} s")
            time.sleep(0.05)

    def pid(self) -> int | None:
        """Return the pid of the living supervisord, None when there is none."""
        try:
            pid = int(self.pid_file.read_text())
            if str(self.config_file) in psutil.Process(pid).cmdline():
                return pid
        except (OSError, ValueError, psutil.Error):
            pass
        return None

    def orphans(self) -> list[psutil.Process]:
        """Return processes that a killed supervisord left behind.

        Ours are those that carry this state folder in their environment, and those without a
        terminal whose parent is gone and whose working folder or command line lies in it (engines
        get a clean environment, and some write their titles over it).
        """
        mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        return [p for p in psutil.process_iter() if p.pid not in mine and self._belongs(p)]

    def end_orphans(self, within_s: float = 10) -> list[str]:
        """End what a killed supervisord left behind and return the names, for the user to see."""
        ended: dict[psutil.Process, str] = {}
        living: set[psutil.Process] = set()
        deadline = time.monotonic() + within_s
        while living := {p for p in living | self._orphans_and_children() if p.is_running()}:
            insist = time.monotonic() > deadline
            for process in living:
                with contextlib.suppress(psutil.Error):
                    ended.setdefault(process, process.name())
                    process.send_signal(signal.SIGCONT)
                    process.send_signal(signal.SIGKILL if insist else signal.SIGTERM)
            psutil.wait_procs(living, timeout=1)
        return sorted(ended.values())

    def _orphans_and_children(self) -> set[psutil.Process]:
        """A worker whose master ends first still holds its port: it is waited for as well."""
        found = set(self.orphans())
        for process in tuple(found):
            with contextlib.suppress(psutil.Error):
                found.update(process.children(recursive=True))
        return found

    def _belongs(self, process: psutil.Process) -> bool:
        try:
            environment = process.environ()
            if PROCESS_VARIABLE in environment:
                return environment.get(HOME_VARIABLE) == str(self.home)
            if process.ppid() != 1 or process.terminal() is not None:
                return False
            inside = Path(process.cwd()).is_relative_to(self.home)
            return inside or f"{self.home}/" in " ".join(process.cmdline())
        except (psutil.Error, OSError):
            return False

    def _configuration(self, processes: Iterable[ProcessSettings]) -> str:
        user = "user=root\n" if os.geteuid() == 0 else ""
        sections = [
            f"[supervisord]\nlogfile={self.log_folder}/supervisord.log\npidfile={self.pid_file}\n"
            f"nodaemon=true\nsilent=true\nchildlogdir={self.log_folder}\n{user}",
            f"[unix_http_server]\nfile={self.socket}\nchmod=0600\n",
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
        ]
        sections += [self._program(process) for process in processes]
        return "\n".join(sections)

    def _program(self, process: ProcessSettings) -> str:
        words = [_quoted(word) for word in resolve(process.command)]
        log = self.log_folder / f"{process.name}.log"
        return (
            f"[program:{process.name}]\n"
            f"command={' '.join(words)}\n"
            f"directory={self.run_folder}\n"
            f'environment={PROCESS_VARIABLE}="{process.name}"\n'
            "autostart=false\n"
            f"autorestart={'true' if process.restart else 'false'}\n"
            "startsecs=0\nstartretries=1000000\n"
            f"stopsignal={process.stop_signal}\n"
            f"stopwaitsecs={round(process.stop_within)}\n"
            "stopasgroup=false\nkillasgroup=true\n"
            f"stdout_logfile={log}\nredirect_stderr=true\n"
            "stdout_logfile_maxbytes=20MB\nstdout_logfile_backups=2\n"
        )


def _lives(pid: int) -> bool:
    """Tell whether a process lives; one that has ended and nobody waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _quoted(word: str) -> str:
    """Quote a word for supervisord, which splits like a shell and expands %(names)s."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
