"""One Chaos Toolkit experiment in a subprocess of its own, held until it is released."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.hold import RELEASE_VARIABLE
from chaos.lease import LEASE_VARIABLE, RUNNER_VARIABLE, Lease, give_back, open_leases
from storewatch.core.errors import ChaosError

_UNDO_WITHIN_S = 150.0


@dataclass(slots=True)
class Experiment:
    """An experiment under way."""

    folder: Path
    _process: subprocess.Popen[bytes]

    def injected(self, within_s: float = 30) -> Lease:
        """Wait for the fault and return its lease, which knows the moment of injection.

        Raises:
            ChaosError: the experiment ended, or its time ran out, before the fault was in.
        """
        found = self._await(self._injected, within_s)
        if found is None:
            raise ChaosError(f"the fault was not injected: {self._last_words()}")
        return found

    def holding(self) -> bool:
        """Tell whether the fault is held still."""
        return self._process.poll() is None and self._injected() is not None

    def release(self) -> dict[str, Any]:
        """End the hold, let the rollbacks undo the fault and return Chaos Toolkit's journal.

        Raises:
            ChaosError: a rollback failed or the journal is missing; the line says whether the fault
                is still there, in which case the watchdog goes on trying.
        """
        (self.folder / "release").touch()
        try:
            self._process.wait(_UNDO_WITHIN_S)
            journal = dict(json.loads((self.folder / "journal.json").read_text()))
        except (subprocess.TimeoutExpired, OSError, ValueError) as error:
            self.abandon()
            raise ChaosError(
                f"the experiment did not end in order: {self._last_words()}"
            ) from error
        failed = [run for run in journal.get("rollbacks", []) if run["status"] != "succeeded"]
        if failed or not journal.get("rollbacks"):
            self.abandon()
            raise ChaosError(f"undone, but not by its own rollback: {self._last_words()}")
        return journal

    def abandon(self) -> None:
        """End the experiment's process and undo what it left.

        Raises:
            ChaosError: the fault is still there; the watchdog goes on trying.
        """
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for lease in open_leases(self._process.pid):
            give_back(lease)

    def _injected(self) -> Lease | None:
        held = open_leases(self._process.pid)
        return next((lease for lease in held if lease.injected_unix_s), None)

    def _await(self, look: Callable[[], Lease | None], within_s: float) -> Lease | None:
        deadline = time.monotonic() + within_s
        while (found := look()) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                return None
            time.sleep(0.05)
        return found

    def _last_words(self) -> str:
        lines = (self.folder / "chaos.log").read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'no output'} (log: {self.folder / 'chaos.log'})"


def start(
    experiment: Path, folder: Path, lease_s: float, environment: Mapping[str, str]
) -> Experiment:
    """Start `chaos run` on an experiment file.

    Args:
        experiment: the file; rollbacks always run, whatever the method did.
        folder: where journal and log go; it must be new.
        lease_s: after this the watchdog undoes the fault, whoever still lives.
        environment: of the experiment, secrets included.
    """
    command = [
        sys.executable,
        *("-m", "chaostoolkit", "--no-version-check", "--log-file", str(folder / "toolkit.log")),
        *("run", "--rollback-strategy", "always"),
        *("--journal-path", str(folder / "journal.json"), str(experiment)),
    ]
    held = {
        RUNNER_VARIABLE: str(os.getpid()),
        LEASE_VARIABLE: str(lease_s),
        RELEASE_VARIABLE: str(folder / "release"),
    }
    with (folder / "chaos.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**environment, **held},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Experiment(folder, process)
