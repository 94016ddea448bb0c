"""Starting a node: initialise, clone or rewind as the pair needs it, then become PostgreSQL."""

import shutil
import time
from pathlib import Path
from typing import NoReturn

from storefront.demo.script import cluster_script, shop_script
from storefront.engines.postgres.config import (
    REPLICATOR,
    conninfo,
    write_config,
    write_passfile,
)
from storefront.engines.postgres.decide import Step, next_step
from storefront.engines.postgres.node import Data, Node, Record, Role, read_record, write_record
from storefront.engines.postgres.programs import find_programs, program_environment, run_program
from storefront.engines.process import (
    become,
    make_folder,
    processes_inside,
    programs_over,
    write_file,
)
from storefront.errors import EngineError

_POLL_S = 0.5


def run_node(node: Node, *, peer_wait_s: float = 180.0) -> NoReturn:
    """Make the node's folder fit for service and become its PostgreSQL.

    Args:
        node: which one.
        peer_wait_s: how long to wait for the primary when this node cannot be it.

    Raises:
        EngineError: it cannot be started safely.
    """
    programs = find_programs(node)
    _wait_for_old_processes(node)
    for leftover in (node.fresh, node.discarded):
        if leftover.exists():
            shutil.rmtree(leftover)
    write_passfile(node)
    deadline = time.monotonic() + peer_wait_s
    step = _decide(node)
    while step is Step.WAIT:
        if time.monotonic() > deadline:
            raise EngineError(
                f"{node.name} is not the primary and {node.peer.name} did not answer as one within"
                f" {peer_wait_s:.0f} s; start or promote {node.peer.name}"
            )
        time.sleep(_POLL_S)
        step = _decide(node)
    _say(f"{node.name}: {step.value}")
    _prepare(node, step, programs)
    argv = [str(programs / "postgres"), "-D", str(node.data)]
    become(argv, node.account, program_environment(node))


def _decide(node: Node) -> Step:
    return next_step(
        node.name,
        node.contents(),
        read_record(node.settings),
        node.peer.role(),
        peer_has_data=node.peer.contents() is not Data.EMPTY,
    )


def _prepare(node: Node, step: Step, programs: Path) -> None:
    record = read_record(node.settings)
    if step is Step.INITIALISE:
        record = Record(node.name, synchronous=True)
        _initialise(node, programs, record)
    elif step is Step.CLONE:
        _clone(node, programs)
    elif step is Step.REWIND:
        step = _rewind(node, programs)
    standby = step in (Step.CLONE, Step.REWIND) or node.contents() is Data.STANDBY
    write_config(node, standby=standby, synchronous=bool(record and record.synchronous))
    write_file(node.started_by, step.name.lower())


def _wait_for_old_processes(node: Node) -> None:
    """Let a server that is stopping, and whatever a killed start left at work, end.

    Raises:
        EngineError: they do not end: the node runs already.
    """
    deadline = time.monotonic() + node.settings.limits.db_shutdown_wait_s
    told = False
    while old := _at_work(node):
        if time.monotonic() > deadline:
            raise EngineError(f"{node.name} runs already (process {min(old)}); stop it first")
        if not told:
            _say(f"{node.name}: waits for the end of process {', '.join(map(str, sorted(old)))}")
            told = True
        time.sleep(0.1)
    _forget_reused_id(node)


def _at_work(node: Node) -> set[int]:
    folders = (node.data, node.fresh)
    return {one for folder in folders for one in programs_over(folder) + processes_inside(folder)}


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the supervisor's log


def _forget_reused_id(node: Node) -> None:
    """Remove a stale postmaster.pid whose process id belongs to somebody else by now.

    PostgreSQL deals with every other stale file itself, and looks at the shared memory that the
    file names while doing so; only a living stranger under the old id makes it refuse to start.
    """
    path = node.data / "postmaster.pid"
    try:
        recorded = int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if Path(f"/proc/{recorded}").exists():
        path.unlink()


def _initialise(node: Node, programs: Path, record: Record) -> None:
    """Make a cluster with roles, schema and demo data in a fresh folder, then put it in place.

    All of it runs in single-user mode: nothing listens, nobody can come too early, and a process
    that is killed half-way leaves a folder that the next start throws away.
    """
    make_folder(node.fresh, node.account, 0o700)
    password_file = node.fresh.with_name(f"{node.name}.pwfile")
    write_file(password_file, node.settings.secret("POSTGRES_PASSWORD") + "\n", node.account)
    try:
        run_program(
            node,
            [
                programs / "initdb", "-D", node.fresh, "-U", "postgres", "--auth=scram-sha-256",
                f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C.UTF-8",
                "--data-checksums",
            ],
        )  # fmt: skip
    finally:
        password_file.unlink()
    single: list[str | Path] = [
        programs / "postgres",
        "--single",
        "-j",
        "-D",
        node.fresh,
        "-c",
        "exit_on_error=on",
    ]
    run_program(node, [*single, "postgres"], text=cluster_script(node.settings))
    run_program(node, [*single, "shop"], text=shop_script(node.settings))
    write_record(node.settings, record)
    _put_in_place(node)


def _clone(node: Node, programs: Path) -> None:
    make_folder(node.fresh, node.account, 0o700)
    source = conninfo(node.peer, node, REPLICATOR, replication=True, suffix="-clone")
    run_program(
        node,
        [
            programs / "pg_basebackup", "-D", node.fresh, "-d", source, "-X", "stream",
            "-c", "fast", "--no-password",
        ],
    )  # fmt: skip
    write_file(node.fresh / "standby.signal", "", node.account)
    _put_in_place(node)


def _rewind(node: Node, programs: Path) -> Step:
    """Give up what this old primary wrote alone and follow the new one; clone if that fails.

    Returns:
        what was done.
    """
    if node.peer.role() is not Role.PRIMARY:
        raise EngineError(f"{node.peer.name} stopped being the primary; start {node.name} again")
    with node.peer.connect() as connection:
        connection.execute("CHECKPOINT")  # the new timeline must be in the source's control file
    write_file(node.rewinding, "")
    source = conninfo(node.peer, node, "postgres", replication=False)
    try:
        (node.data / "postmaster.pid").unlink(missing_ok=True)
        run_program(node, [programs / "pg_rewind", "-D", node.data, f"--source-server={source}"])
    except EngineError as error:
        _say(f"{error}; cloning instead")
        _clone(node, programs)
        return Step.CLONE
    write_config(node, standby=True, synchronous=False)
    node.rewinding.unlink()
    return Step.REWIND


def _put_in_place(node: Node) -> None:
    """Swap folders by renames: whenever we are killed, the data folder is a whole one or none."""
    if node.data.exists():
        node.data.rename(node.discarded)
    node.fresh.rename(node.data)
    node.rewinding.unlink(missing_ok=True)
    shutil.rmtree(node.discarded, ignore_errors=True)
