"""Faults of a process: killed, or frozen with SIGSTOP. Actions for Chaos Toolkit.

Processes are named as in storewatch.yaml; pid and create time are taken together, so that a pid
that is used again is never hit.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence

import psutil

from chaos.lease import alive, injecting
from storewatch.core.commands import resolve
from storewatch.core.errors import ChaosError

Commands = Sequence[Sequence[str]]


def kill(process: str | Sequence[str], undo: Commands, gone: Commands) -> str:
    """Kill a process with SIGKILL, as a crash would.

    Args:
        process: its name, or a command that prints the name of the one to hit.
        undo: commands that bring it back; $PROCESS stands for the name.
        gone: commands that succeed once it is back.
    """
    name = chosen(process)
    victim = find(name)
    with injecting(f"{name} killed", _named(undo, name), _named(gone, name)):
        victim.send_signal(signal.SIGKILL)
    return name


def freeze(process: str | Sequence[str]) -> str:
    """Stop a process with SIGSTOP: its port still accepts, nobody answers.

    Args:
        process: its name, or a command that prints the name of the one to hit.
    """
    name = chosen(process)
    victim = find(name)
    identity = (str(victim.pid), repr(victim.create_time()))
    module = ("python", "-m", "chaos.faults.process")
    undo, gone = (*module, "continue", *identity), (*module, "runs", *identity)
    with injecting(f"{name} frozen", (undo,), (gone,)):
        victim.send_signal(signal.SIGSTOP)
    return name


def chosen(process: str | Sequence[str]) -> str:
    """Return the process to hit, asking a command for it where one is given."""
    if isinstance(process, str):
        return process
    done = subprocess.run(resolve(process), capture_output=True, text=True, check=False, timeout=30)
    name = done.stdout.strip()
    if done.returncode or not name:
        raise ChaosError(
            f"{' '.join(process)} named no process: {done.stderr.strip() or 'no output'}"
        )
    return name


def find(name: str) -> psutil.Process:
    """Return the running process of that name in the stack."""
    words = resolve(("storewatch", "processes", "pid", name, "--json"))
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise ChaosError(done.stderr.strip() or f"{name} is not running")
    return psutil.Process(int(json.loads(done.stdout)["pid"]))


def _named(commands: Commands, name: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(word.replace("$PROCESS", name) for word in words) for words in commands)


def main(verb: str, pid: int, created_unix_s: float) -> int:
    """`continue` a frozen process if it is still that one; `runs`: 0 unless it is frozen."""
    if not alive(pid, created_unix_s):
        return 0
    process = psutil.Process(pid)
    if verb == "continue":
        process.send_signal(signal.SIGCONT)
        return 0
    return int(process.status() == psutil.STATUS_STOPPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
