"""A restored Redis shows the snapshot, whether it keeps an append-only file or not."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from backup_engines import ending, until
from backup_house import House, names
from loopback import free_port

from backup.backup import run_backup
from backup.drill_redis import find_redis_server
from backup.recovery.point_in_time import restore_to
from storewatch.core.targets import Verdict


@contextmanager
def cache(folder: Path, append_only: str) -> Iterator[Any]:
    """Run a real server on a folder."""
    port = free_port()
    command = [
        find_redis_server(None), "--port", port, "--bind", "127.0.0.1", "--dir", folder,
        "--save", "", "--appendonly", append_only,
    ]  # fmt: skip
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    with ending(process):
        until(answers, process)
        yield client


@pytest.mark.parametrize("append_only", ["yes", "no"])
def test_the_restored_folder_loads_the_snapshot(house: House, append_only: str) -> None:
    running = house.home / "running"
    running.mkdir()
    del house.raw["tiers"][1:], house.raw["sources"]["postgres"]
    with cache(running, append_only) as client:
        client.mset({f"cart:{n}": n for n in range(100)})
        port = client.connection_pool.connection_kwargs["port"]
        house.raw["sources"]["redis"]["url"] = f"redis://127.0.0.1:{port}/0"
        made = run_backup(house.settings, house.evidence)
        assert made.verdict == Verdict.PASS or made.value("not_copied") == 0, made.notes
    restored = restore_to(house.settings, "local", house.home / "x")
    assert restored.manifest.sources["redis"]["append_only"] is (append_only == "yes")
    folder = house.home / "x" / "redis"
    assert ("appendonly.aof" in names(folder)) is (append_only == "yes")
    with cache(folder, append_only) as client:
        assert client.dbsize() == 100
        assert client.get("cart:42") == b"42"
        client.set("cart:new", "1")
    with cache(folder, append_only) as client:  # what it writes from now on is kept
        assert client.exists("cart:new") == (append_only == "yes")
        assert client.get("cart:42") == b"42"
