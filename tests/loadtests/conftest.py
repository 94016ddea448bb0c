"""The small shop, settings that load it, and a database that keeps its books."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from load_shop import SmallShop
from loopback import free_port, until

from loadtests.process import RunningLoad
from loadtests.profiles import ProfileSettings
from loadtests.run import start_load
from loadtests.settings import LoadSettings
from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user


@pytest.fixture(autouse=True)
def _generators_find_the_journeys(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.pathsep.join(map(str, Path(__file__).parents[:2]))
    others = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{here}{os.pathsep}{others}" if others else here)


@pytest.fixture
def shop() -> Iterator[SmallShop]:
    with SmallShop().serving() as found:
        yield found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningLoad]]:
    """Start loads that do not outlive the test."""
    running: list[RunningLoad] = []

    def begin(settings: LoadSettings, journey: str | None, wanted: ProfileSettings) -> RunningLoad:
        folder = tmp_path / f"load-{len(running)}"
        folder.mkdir()
        load = start_load(settings, journey, wanted, folder, lambda _line: None)
        running.append(load)
        return load

    yield begin
    for load in running:
        load.kill()


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The URL of a shop's database: orders, and a number of oversold units."""
    folder = Path(tempfile.mkdtemp(prefix="storewatch-load-", dir="/var/tmp"))
    folder.chmod(0o711)
    programs, user = find_postgres(None, folder / "programs"), unprivileged_user()
    data, port = folder / "data", free_port()
    data.mkdir(mode=0o700)
    own(data, user)
    demoted = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, **demoted, **demote_kwargs(user))
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", ""],
        **demoted,
        **demote_kwargs(user),
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def up() -> bool:
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                connection.execute(
                    "CREATE TABLE orders (id text, key text, state text, cents int,"
                    " created_at timestamptz DEFAULT now());"
                    "CREATE TABLE oversold (units int); INSERT INTO oversold VALUES (0)"
                )
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(up)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


@pytest.fixture
def books(database: str, shop: SmallShop) -> Iterator[dict[str, Any]]:
    """The section `reconciliation` over the shop's books, which the shop keeps as it sells."""
    connection = psycopg.connect(database, autocommit=True)
    connection.execute("TRUNCATE orders; UPDATE oversold SET units = 0")

    def keep(order: dict[str, Any]) -> None:
        connection.execute(
            "INSERT INTO orders (id, key, state, cents) VALUES (%s, %s, 'paid', %s)",
            (order["order_id"], order["idempotency_key"], order["amount_cents"]),
        )

    shop.placed = keep
    yield {
        "database": database,
        "orders_sql": "SELECT id, key, state, cents FROM orders WHERE created_at >= %(since)s",
        "oversold_sql": "SELECT units FROM oversold",
        "payment_ledgers": {"alpha": f"{shop.url}/ledger"},
        "payment_token": "x",
    }
    connection.close()
