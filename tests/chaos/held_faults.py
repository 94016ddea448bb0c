"""Faults that are files, held by leases."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaos import lease
from chaos.lease import injecting, open_leases

Care = Callable[[subprocess.Popen[str]], subprocess.Popen[str]]


def inject(fault: Path, count: Path | None = None) -> lease.Lease:
    note = "import sys; open(sys.argv[1], 'a').write('x')"
    undo = (("rm", "-f", str(fault)),) + ((("python", "-c", note, str(count)),) if count else ())
    with injecting("a file", undo, (("test", "!", "-e", str(fault)),)):
        fault.touch()
    return open_leases()[-1]


def unwatched(held: lease.Lease, **changes: Any) -> lease.Lease:
    """Replace a lease by one that no watchdog knows."""
    held.path().unlink()
    changed = replace(held, id=f"{held.id}-unwatched", **changes)
    changed.write()
    return changed
