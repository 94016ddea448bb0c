"""The servers that all tests of backup/ share, and settings over them."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from backup.keys import ensure_keys
from backup.settings import BackupSettings
from backup_engines import S3Server, Shop, free_port, postgres, redis_server, remove
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

    def object(self, tier: str, name: str) -> Path:
        """The file behind an object of the newest copy."""
        newest = max(self.stored(tier).iterdir())
        return newest / name


@pytest.fixture
def house(
    engines_home: Path,
    servers: tuple[int, int],
    object_stores: tuple[S3Server, S3Server],
    request: pytest.FixtureRequest,
) -> Iterator[House]:
    """Settings, keys and images for one test."""
    home = Path(tempfile.mkdtemp(dir=engines_home))
    home.chmod(0o711)
    images = home / "images"
    images.mkdir()
    for number in range(1, 21):
        (images / f"{number}.svg").write_text(f"<svg>{number}</svg>" * number)
    shop = Shop(servers[0], servers[1], images)
    subject = f"shop-{home.name.replace('_', '-').lower()}"
    raw = {
        "subject": subject.rstrip("-"),
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
            object_stores[0].tier("off-site"),
            object_stores[1].tier("cloud"),
        ],
        "drill": {
            "port": free_port(),
            "scratch": home / "scratch",
            "tier": "cloud",
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
    built = House(home, shop, object_stores, EvidenceStore(home), raw)
    ensure_keys(built.settings)
    yield built
    remove(home)
