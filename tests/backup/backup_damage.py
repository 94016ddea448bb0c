"""Ways to spoil a copy."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backup import manifest
from backup.manifest import FILE_NAME

POSTGRES, REDIS, IMAGES = "postgres.tar.zst.age", "redis.rdb.zst.age", "files-images.tar.zst.age"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def edit(change: Callable[[dict[str, Any]], object], *, digest: bool) -> Callable[[Path], None]:
    """Return how to edit a manifest, with its digest made to fit again or not."""

    def apply(file: Path) -> None:
        members = json.loads(file.read_text())
        change(members)
        file.write_text(json.dumps(members))
        if digest:
            members.pop("digest")
            file.write_text(json.dumps(members | {"digest": manifest._digest(members)}))

    return apply


def smaller(members: dict[str, Any]) -> None:
    members["objects"][0]["stored_bytes"] -= 1


def more_rows(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["tables"][1]["rows"] += 1


def other_checksum(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["tables"][0]["checksum"] = "1"


def other_system(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["system_identifier"] = "7000000000000000000"


def beyond_the_wal(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["stop_lsn"] = "FF/0"


def more_keys(members: dict[str, Any]) -> None:
    members["sources"]["redis"]["keys"] += 1


def newer_order(members: dict[str, Any]) -> None:
    members["sources"]["postgres"]["newest_at"] = "2999-01-01T00:00:00Z"


def other_plain_hash(members: dict[str, Any]) -> None:
    members["objects"][1]["plain_sha256"] = "0" * 64


def path_out(members: dict[str, Any]) -> None:
    members["objects"][0]["name"] = "../../etc/passwd"


DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "bit flip": (POSTGRES, flip, f"{POSTGRES} is damaged: SHA-256"),
    "truncation": (POSTGRES, lambda f: os.truncate(f, 1000), f"{POSTGRES} is damaged: 1000 bytes"),
    "emptied": (IMAGES, lambda f: os.truncate(f, 0), f"{IMAGES} is damaged: 0 bytes"),
    "appended": (REDIS, lambda f: f.write_bytes(f.read_bytes() + b"x"), f"{REDIS} is damaged"),
    "missing object": (IMAGES, Path.unlink, f"{IMAGES} is missing"),
    "foreign object": (REDIS, lambda f: f.write_bytes(b"\0" * f.stat().st_size), f"{REDIS} is dam"),
    "edited manifest": (FILE_NAME, edit(smaller, digest=False), "manifest was edited"),
    "truncated manifest": (FILE_NAME, lambda f: os.truncate(f, 500), "manifest is truncated"),
    "manifest with a path": (FILE_NAME, edit(path_out, digest=True), "leads out of its folder"),
    "forged sizes": (FILE_NAME, edit(smaller, digest=True), f"{POSTGRES} is damaged"),
    "forged plain hash": (FILE_NAME, edit(other_plain_hash, digest=True), "plain bytes are not"),
    "WAL too short": (FILE_NAME, edit(beyond_the_wal, digest=True), "the backup ends at FF/0"),
}
