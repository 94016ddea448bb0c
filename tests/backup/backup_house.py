"""One test's own backup configuration over the shared servers."""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backup_engines import S3Server, remove
from backup_shop import Shop
from loopback import free_port

from backup.keys import ensure_keys
from backup.retention import id_time
from backup.settings import BackupSettings
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
        return max(path for path in self.stored(tier).iterdir() if id_time(path.name)) / name


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return [path.name for path in folder.iterdir()]


def runs_in(spool: Path) -> list[str]:
    """Return what runs left in the spool."""
    return [name for name in names(spool) if id_time(name)]


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


@contextmanager
def files_only(engines_home: Path, stores: tuple[S3Server, S3Server]) -> Iterator[House]:
    """Lend a house whose shop has only files: no database, no cache."""
    home = Path(tempfile.mkdtemp(prefix="files-", dir=engines_home))
    built = build(home, (1, 1), stores)
    built.raw["sources"] = {"files": built.raw["sources"]["files"]}
    try:
        yield built
    finally:
        remove(home)


def kill_once_it_says(word: str, code: str, house: House) -> None:
    """Run Python code with the house's settings on stdin, and kill it at a word of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(house.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(house.raw, default=str).encode() + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == f"{word}\n".encode()
        child.kill()


def assert_clean(house: House) -> None:
    assert names(house.home / "scratch") == ["lock"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", house.settings.drill.port)) != 0
