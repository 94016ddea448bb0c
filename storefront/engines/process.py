"""Preparing an engine: files only it may read, an account that is not root, then `execve`."""

import ctypes
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from storefront.errors import EngineError

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Account:
    """The account that engines run as when the shop is started by root."""

    uid: int
    gid: int


def engine_account() -> Account | None:
    """Return the account of the engines when we are root (`postgres`, else `nobody`), else None.

    Raises:
        EngineError: we are root and the system has neither.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EngineError("engines refuse root and there is no user postgres or nobody; add one")


def demote(account: Account | None) -> dict[str, Any]:
    """Return the arguments of `subprocess.run` for a helper that dies with us, as the account."""
    arguments: dict[str, Any] = {"preexec_fn": _die_with_parent, "cwd": "/"}
    if account is not None:
        arguments |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return arguments


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def reachable(path: Path, account: Account | None) -> bool:
    """Tell whether the account may enter every folder above the path."""
    if account is None:
        return True
    return all(_may_enter(parent.stat(), account) for parent in path.resolve().parents)


def _may_enter(folder: os.stat_result, account: Account) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & 0o100)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & 0o010)
    return bool(folder.st_mode & 0o001)


def make_folder(path: Path, account: Account | None, mode: int = 0o755) -> Path:
    """Make a folder that belongs to the engines' account.

    Raises:
        EngineError: the account cannot reach it.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if account is not None:
        os.chown(path, account.uid, account.gid)
    if not reachable(path, account):
        raise EngineError(
            f"{path} cannot be reached by the engines' account; set STOREWATCH_HOME to a folder"
            " below which everybody may enter, such as /var/lib/storewatch"
        )
    return path


def write_file(path: Path, text: str, account: Account | None = None, mode: int = 0o600) -> None:
    """Write a file for the engines' account alone: temporary name, fsync, rename."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
        os.fsync(file.fileno())
    partial.rename(path)


def usable(
    program: Path,
    cache: Path,
    account: Account | None,
    *,
    root: Path | None = None,
    libraries: Sequence[Path] = (),
) -> Path:
    """Return a program or a folder of programs that the account can reach; copied once if needed.

    Args:
        program: what was installed.
        cache: folder of copies, reachable by the account.
        account: who runs it.
        root: program and libraries keep their places below it; by default the program's folder.
        libraries: what the program finds by its place relative to its own.
    """
    if reachable(program, account):
        return program
    root = root or program.parent
    destination = cache / f"{program.name}-{program.stat().st_mtime_ns}"
    if not destination.exists():
        make_folder(cache, None)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".copy-") as scratch:
            copied = Path(scratch) / "root"
            for part in (program, *libraries):
                place = copied / part.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if part.is_dir() else shutil.copy2
                copy(part, place)
            try:
                copied.rename(destination)
            except OSError:
                if not destination.exists():  # else another process was first; its copy is as good
                    raise
    return destination / program.relative_to(root)


def processes_inside(folder: Path) -> list[int]:
    """Return the ids of the processes that run in the folder (PostgreSQL's do in their data)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def programs_over(data: Path) -> list[int]:
    """Return the ids of programs that were given the folder with -D, whoever runs them.

    Unlike the folder that a process runs in, its command line is there for everybody to read.
    """
    wanted = f"\0-D\0{data}\0"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if wanted in arguments:
            found.append(int(entry.name))
    return found


def become(
    argv: Sequence[str], account: Account | None, environment: Mapping[str, str]
) -> NoReturn:
    """Turn this process into the engine, as the account, with only the given environment.

    The supervisor's child keeps its id, so signals reach the engine itself.
    """
    if account is not None:
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
    os.chdir("/")
    os.execve(argv[0], list(argv), dict(environment))  # noqa: S606 - no shell is the point
