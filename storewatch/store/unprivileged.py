"""Running engines that refuse root (PostgreSQL) as somebody else when we are root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storewatch.core.errors import UnreachableError


@dataclass(frozen=True, slots=True)
class User:
    """An account to run an engine as."""

    name: str
    uid: int
    gid: int


def unprivileged_user() -> User | None:
    """Return the account engines run as when we are root (`postgres`, else `nobody`); else None.

    Raises:
        UnreachableError: we are root and the system has neither account.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise UnreachableError(
        "PostgreSQL refuses root and there is no user postgres or nobody; add one"
    )


def demote_kwargs(user: User | None) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` that start a program as the user."""
    if user is None:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def own(path: Path, user: User | None) -> None:
    """Give a file or folder (and all below it) to the user; nothing happens without one."""
    if user is None:
        return
    for item in (path, *path.rglob("*")):
        os.chown(item, user.uid, user.gid, follow_symlinks=False)


def reachable(path: Path, user: User | None) -> bool:
    """Tell whether the user may enter every folder above the path (other-execute bit)."""
    if user is None:
        return True
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
