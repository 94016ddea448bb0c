"""The servers that all tests of backup/ share, and settings over them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from backup_engines import S3Server, Shop, free_port, postgres, redis_server, remove

from backup.backup import run_backup
from backup.keys import ensure_keys
from backup.settings import BackupSettings
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

TABLES = [
    {"name": "products", "columns": ["id", "name", "price_cents", "image"]},
    {
        "name": "orders",
        "columns": ["id", "key", "total_cents", "created_at"],
        "settled_by": "created_at",
    },
    {
        "name": "public.order_lines",
        "settled_by": "created_at",
        "parent": {"table": "orders", "column": "order_id"},
    },
]


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


@dataclass
class House:
    """One test's own backup configuration over the shared servers."""

    home: Path
    shop: Shop
    stores: tuple[S3Server, S3Server]
    evidence: EvidenceStore
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> BackupSettings:
        """The typed settings of `raw`."""
        return BackupSettings.model_validate(self.raw)

    def stored(self, tier: str) -> Path:
        """The folder in which a tier keeps the copies of this test."""
        if tier == "local":
            return self.home / "local" / self.raw["subject"]
        store = self.stores[("off-site", "cloud").index(tier)]
        return store.folder / "storewatch-backup" / self.raw["subject"]

    def file(self, name: str, tier: str = "local") -> Path:
        """A file of the newest copy in a tier."""
        return max(self.stored(tier).iterdir()) / name


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return [path.name for path in folder.iterdir()]


def build(home: Path, servers: tuple[int, int], stores: tuple[S3Server, S3Server]) -> House:
    """Make images, keys and settings in a folder."""
    home.chmod(0o711)
    images = home / "images"
    images.mkdir()
    for number in range(1, 21):
        (images / f"{number}.svg").write_text(f"<svg>{number}</svg>" * number)
    shop = Shop(servers[0], servers[1], images)
    raw = {
        "subject": home.name.replace("_", "-"),
        "spool": home / "spool",
        "recipients_file": home / "recipients.txt",
        "identity_file": home / "identity.txt",
        "minimum_free_bytes": 1_000_000,
        "zstd_level": 1,
        "sources": {
            "postgres": {
                "url": shop.url,
                "tables": TABLES,
                "newest_query": "SELECT max(created_at) FROM orders",
                "settle": "100ms",
            },
            "redis": {"url": f"redis://:it's%3Aa%5Csecret@127.0.0.1:{servers[1]}/0"},
            "files": [{"name": "images", "path": images}],
        },
        "tiers": [
            {"name": "local", "kind": "folder", "path": home / "local"},
            stores[0].tier("off-site"),
            stores[1].tier("cloud"),
        ],
        "drill": {
            "port": free_port(),
            "scratch": home / "scratch",
            "tier": "local",
            "invariants_view": "storewatch_invariants",
            "references": [
                {
                    "query": "SELECT DISTINCT image FROM products",
                    "files": "images",
                    "strip": "/images/",
                }
            ],
        },
    }
    built = House(home, shop, stores, EvidenceStore(home), raw)
    ensure_keys(built.settings)
    return built


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
