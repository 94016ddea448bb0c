"""Object storage for backups. `python -m storefront.engines.s3 offsite|cloud`

One S3 server (`rclone serve s3`) per tier, over a folder of its own, with credentials of its own.
"""

import shutil
import sys
import sysconfig
from pathlib import Path

from storefront.engines.process import become, engine_account, make_folder, usable
from storefront.errors import EngineError, SettingsError
from storefront.settings import HOST, Settings, load_settings

BUCKET = "storewatch-backup"
TIERS = ("offsite", "cloud")


def server_environment(settings: Settings, tier: str) -> dict[str, str]:
    """Return the environment of the server; the credentials travel here and not on argv."""
    prefix = f"S3_{tier.upper()}"
    access = settings.secret(f"{prefix}_ACCESS_KEY")
    secret = settings.secret(f"{prefix}_SECRET_KEY")
    return {
        "PATH": "/usr/bin:/bin",
        "TZ": "UTC",
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_AUTH_KEY": f'"{access},{secret}"',
    }


def server_argv(settings: Settings, tier: str, program: Path) -> list[str]:
    """Make the tier's folder with its bucket and return the command line over it."""
    account = engine_account()
    folder = make_folder(settings.home / f"s3-{tier}", account, 0o700)
    bucket = make_folder(folder / BUCKET, account, 0o700)
    for partial in bucket.rglob(".rclone_temp_put_*"):  # left by an upload that was killed
        partial.unlink()
    address = f"{HOST}:{settings.port(f's3-{tier}')}"
    return [
        str(program), "serve", "s3", "--addr", address, "--vfs-cache-mode", "off",
        "--dir-cache-time", "1s", "--cache-dir", str(folder.parent / "rclone-cache"), str(folder),
    ]  # fmt: skip


def find_rclone() -> Path:
    """Return rclone: beside our Python (the wheel puts it there), else on PATH.

    Raises:
        EngineError: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    found = beside if beside.exists() else shutil.which("rclone")
    if not found:
        raise EngineError("rclone is not installed; pip install 'storewatch[demo]'")
    return Path(found)


def main() -> None:
    """Prepare one tier's server and become it."""
    if len(sys.argv) != 2 or sys.argv[1] not in TIERS:
        sys.exit("usage: python -m storefront.engines.s3 offsite|cloud")
    tier = sys.argv[1]
    try:
        settings = load_settings()
        account = engine_account()
        program = usable(find_rclone(), settings.home / "programs", account)
        argv = server_argv(settings, tier, program)
        environment = server_environment(settings, tier)
    except (SettingsError, EngineError) as error:
        sys.exit(f"s3-{tier}: {error}")
    become(argv, account, environment)


if __name__ == "__main__":
    main()
