"""A data folder for Redis in which the restored snapshot is what the server loads.

With `appendonly yes` Redis loads its append-only file and ignores the snapshot; without such a file
it starts empty. An append-only file may begin with a snapshot, so a copy of the snapshot is one.
Source: Redis 6.2, loadAppendOnlyFile in aof.c (the RDB preamble); Redis 7 takes such a file over
into its appenddirname (aofUpgradePrepare).
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "redis"
SNAPSHOT, APPEND_ONLY = "dump.rdb", "appendonly.aof"


def write_redis_folder(snapshot: Path, facts: Mapping[str, Any]) -> Path:
    """Make the folder `redis` beside a restored snapshot, for `dir` of redis.conf.

    The append-only file is written only when the server kept one: a server without it would go on
    with the snapshot, and an old append-only file would shadow everything once it was turned on.

    Args:
        snapshot: the restored file.
        facts: of the source in the manifest.
    """
    folder = snapshot.with_name(FOLDER)
    folder.mkdir(mode=0o700)
    os.link(snapshot, folder / SNAPSHOT)  # Redis replaces this file, it never writes into it
    if facts.get("append_only"):
        shutil.copyfile(snapshot, folder / APPEND_ONLY)
    return folder
