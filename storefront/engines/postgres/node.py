"""The two database nodes, their folders, and the record of which one is the primary."""

import json
import socket
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import psycopg

from storefront.engines.process import Account, engine_account, make_folder, write_file
from storefront.errors import EngineError
from storefront.settings import DATABASES, HOST, Settings

FIRST_PRIMARY = DATABASES[0]


class Role(Enum):
    """What a node says of itself when it is asked."""

    PRIMARY = "primary"
    STANDBY = "standby"
    REFUSED = "stopped"
    SILENT = "silent"


class Data(Enum):
    """What lies in a node's data folder."""

    EMPTY = "empty"
    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Record:
    """The operators' word on the pair: who is the primary, and whether commits wait for the other.

    Kept in `shop/cluster.json`. A node whose own data disagrees with the record waits for its
    peer; it never starts as a second primary.
    """

    primary: str
    synchronous: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One of the two nodes as this machine sees it."""

    name: str
    settings: Settings
    account: Account | None

    @property
    def port(self) -> int:
        """Return the port that the node listens on."""
        return self.settings.port(self.name)

    @property
    def data(self) -> Path:
        """Return the data folder (PGDATA)."""
        return self.settings.shop / self.name

    @property
    def fresh(self) -> Path:
        """Return the folder that a data folder grows up in; its rename is what makes it count."""
        return self.settings.shop / f"{self.name}.new"

    @property
    def discarded(self) -> Path:
        """Return where a data folder goes that another one replaces."""
        return self.settings.shop / f"{self.name}.old"

    @property
    def rewinding(self) -> Path:
        """Return the mark of a rewind under way: a folder with the mark is no longer usable."""
        return self.settings.shop / f"{self.name}.rewinding"

    @property
    def started_by(self) -> Path:
        """Return the file that says what the last start did: serve, initialise, clone, rewind."""
        return self.settings.shop / f"{self.name}.started-by"

    @property
    def passfile(self) -> Path:
        """Return the file with the passwords that the node's own programs use (PGPASSFILE)."""
        return self.settings.shop / "pgpass" / self.name

    @property
    def peer(self) -> "Node":
        """Return the other node."""
        other = next(name for name in DATABASES if name != self.name)
        return Node(other, self.settings, self.account)

    def contents(self) -> Data:
        """Tell what lies in the data folder."""
        if self.rewinding.exists() or not (self.data / "global" / "pg_control").exists():
            return Data.EMPTY
        return Data.STANDBY if (self.data / "standby.signal").exists() else Data.PRIMARY

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """Connect as the superuser, statements limited to 10 s.

        Raises:
            psycopg.OperationalError: the node does not answer.
        """
        return psycopg.connect(
            host=HOST,
            port=self.port,
            dbname="postgres",
            user="postgres",
            password=self.settings.secret("POSTGRES_PASSWORD"),
            connect_timeout=2,
            sslmode="disable",
            gssencmode="disable",
            options="-c statement_timeout=10000",
            autocommit=True,
            row_factory=psycopg.rows.dict_row,
        )

    def role(self) -> Role:
        """Ask the node what it is; SILENT when its port is taken but nobody gives an answer."""
        try:
            socket.create_connection((HOST, self.port), timeout=2).close()
            with self.connect() as connection:
                row = connection.execute("SELECT pg_is_in_recovery() AS standby").fetchone()
        except ConnectionRefusedError:
            return Role.REFUSED
        except (psycopg.OperationalError, OSError):
            return Role.SILENT
        return Role.STANDBY if row and row["standby"] else Role.PRIMARY


def find_node(settings: Settings, name: str) -> Node:
    """Return a node by name, its folders made.

    Raises:
        EngineError: there is no such node, or its account cannot reach the folders.
    """
    if name not in DATABASES:
        raise EngineError(f"no database node {name!r}; the nodes are {' and '.join(DATABASES)}")
    account = engine_account()
    make_folder(settings.shop, None)
    make_folder(settings.shop / "pgpass", account, 0o700)
    return Node(name, settings, account)


def read_record(settings: Settings) -> Record | None:
    """Return the record, None when the pair was never initialised.

    Raises:
        EngineError: the record cannot be read.
    """
    path = settings.shop / "cluster.json"
    try:
        fields = json.loads(path.read_text())
        record = Record(str(fields["primary"]), bool(fields["synchronous"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f'{path} is damaged; write {{"primary": "db-a", "synchronous": true}} with the node'
            " that is the primary"
        ) from error
    if record.primary not in DATABASES:
        raise EngineError(f"{path} names {record.primary!r}; the nodes are db-a and db-b")
    return record


def write_record(settings: Settings, record: Record) -> None:
    """Keep the record: temporary name, fsync, rename."""
    fields = {"primary": record.primary, "synchronous": record.synchronous}
    write_file(settings.shop / "cluster.json", json.dumps(fields) + "\n", mode=0o644)
