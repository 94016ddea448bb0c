"""The servers that all tests of backup/ share, and settings over them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

import pytest
from backup_engines import S3Server, postgres, redis_server, remove
from backup_house import House, build, files_only
from cluster import copy_of, make_template
from loopback import free_port
from wal_house import WalHouse, build_wal_house

from backup.backup import run_backup
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore


@pytest.fixture(scope="session")
def engines_home() -> Iterator[Path]:
    """A folder that the account of PostgreSQL can reach."""
    folder = Path(tempfile.mkdtemp(prefix="storewatch-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def servers(engines_home: Path) -> Iterator[tuple[int, int]]:
    """Ports of PostgreSQL and Redis."""
    with postgres(engines_home) as database, redis_server(engines_home) as cache:
        yield database, cache


@pytest.fixture(scope="session")
def object_stores(engines_home: Path) -> Iterator[tuple[S3Server, S3Server]]:
    """Two S3 servers with different credentials."""
    with ExitStack() as stack:
        stores = []
        for name in ("off-site", "cloud"):
            store = S3Server(engines_home / f"s3-{name}", free_port(), f"key-{name}", f"pw-{name}")
            store.start()
            stack.callback(store.stop)
            stores.append(store)
        yield stores[0], stores[1]


@pytest.fixture
def house(
    engines_home: Path, servers: tuple[int, int], object_stores: tuple[S3Server, S3Server]
) -> Iterator[House]:
    """Settings, keys and images for one test."""
    home = Path(tempfile.mkdtemp(prefix="house-", dir=engines_home))
    yield build(home, servers, object_stores)
    remove(home)


@pytest.fixture(scope="session")
def golden(
    engines_home: Path, servers: tuple[int, int], object_stores: tuple[S3Server, S3Server]
) -> House:
    """A house with one good copy in its local tier; tests look, copy, and do not change it."""
    home = Path(tempfile.mkdtemp(prefix="golden-", dir=engines_home))
    built = build(home, servers, object_stores)
    del built.raw["tiers"][1:]
    assert run_backup(built.settings, built.evidence).verdict == Verdict.PASS
    return built


@pytest.fixture
def copy(golden: House) -> Iterator[House]:
    """A copy of the golden house's tier and keys, to be damaged."""
    home = Path(tempfile.mkdtemp(prefix="copy-", dir=golden.home.parent))
    home.chmod(0o711)
    shutil.copytree(golden.home / "local", home / "local")
    raw = deepcopy(golden.raw)
    raw["tiers"][0]["path"] = home / "local"
    raw["drill"] |= {"scratch": home / "scratch", "port": free_port()}
    yield House(home, golden.shop, golden.stores, EvidenceStore(home), raw)
    remove(home)


@pytest.fixture(scope="session")
def template(engines_home: Path) -> Path:
    """A small cluster, to be copied."""
    return make_template(engines_home)


@pytest.fixture
def wal_house(engines_home: Path, template: Path) -> Iterator[WalHouse]:
    """A primary of the test's own and settings over it."""
    home = Path(tempfile.mkdtemp(prefix="wal-", dir=engines_home))
    home.chmod(0o711)
    with copy_of(template, home).running() as primary:
        yield build_wal_house(home, primary)
    remove(home)


@pytest.fixture
def files_house(engines_home: Path, object_stores: tuple[S3Server, S3Server]) -> Iterator[House]:
    """Settings of a shop that has only files, for one test."""
    with files_only(engines_home, object_stores) as built:
        yield built


@pytest.fixture
def old_house(files_house: House) -> House:
    """Retention in every tier, the right to delete in two."""
    for tier in files_house.raw["tiers"]:
        tier["retention"] = {"last": 2, "minimum": 1}
    store = files_house.stores[0]
    files_house.raw["tiers"][1] |= {
        "prune_access_key": store.prune_key,
        "prune_secret_key": store.secret_key,
    }
    return files_house
