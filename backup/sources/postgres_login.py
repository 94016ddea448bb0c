"""How PostgreSQL's own programs log in: no password on a command line or in the environment."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from storewatch.core.errors import BackupError
from storewatch.store.files import write_atomic

CONNECT_TIMEOUT_S = 10
_OF_A_CONNECTION = ("password", "target_session_attrs", "passfile")


def program_conninfo(url: SecretStr, **changed: str) -> str:
    """Return the connection string for a program: without the password, with what is changed.

    Args:
        url: of the settings.
        changed: parameters to set, such as host and port; an empty value leaves one out.
    """
    parts = conninfo_to_dict(url.get_secret_value())
    kept = {name: value for name, value in parts.items() if name not in _OF_A_CONNECTION}
    return make_conninfo("", **{k: v for k, v in {**kept, **changed}.items() if v})


@contextmanager
def logged_in(url: SecretStr, name: str, **changed: str) -> Iterator[psycopg.Connection[Any]]:
    """Lend a connection in autocommit mode; what the server says against it is one line.

    Args:
        url: of the settings.
        name: of the connection, for pg_stat_activity.
        changed: parameters to set, such as host and port.

    Raises:
        BackupError: the server does not answer, or refuses what is asked inside.
    """
    try:
        with psycopg.connect(
            make_conninfo(url.get_secret_value(), **changed),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"storewatch {name}",
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise BackupError(f"postgres: {' '.join(str(error).split())}") from error


def node_of(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return host and port of the node that answered, so that programs ask the same one."""
    return {"host": connection.info.host, "port": str(connection.info.port)}


@contextmanager
def login_environment(url: SecretStr, folder: Path) -> Iterator[Mapping[str, str]]:
    """Lend an environment in which the program finds the password in a private file.

    Args:
        url: of the settings.
        folder: private; the file in it is gone afterwards.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    environment |= {"LC_ALL": "C", "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S)}
    password = conninfo_to_dict(url.get_secret_value()).get("password")
    if not password:
        yield environment
        return
    file = folder / "pgpass"
    escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
    write_atomic(file, f"*:*:*:*:{escaped}\n".encode(), mode=0o600)
    try:
        yield {**environment, "PGPASSFILE": str(file)}
    finally:
        file.unlink(missing_ok=True)


def last_line(messages: Path, program: str) -> str:
    """Return the line of a program's log that tells why it failed."""
    lines = messages.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if "error:" in line or "FATAL" in line]
    return (errors or lines or [f"{program} failed without a message"])[-1]
