"""Where nothing may be restored to."""

from collections.abc import Iterable
from pathlib import Path

from backup.manifest import Manifest
from backup.restore import refuse_occupied
from backup.settings import BackupSettings
from storewatch.core.errors import UsageError


def refuse_target(settings: BackupSettings, target: Path, port: int) -> None:
    """Make sure that a restore can hurt nothing that is there.

    Raises:
        UsageError: the folder is not empty, lies in a database or in production's files, or the
            port is one of production.
    """
    refuse_occupied(target)
    place = target.resolve()
    for folder in place.parents:
        if (folder / "PG_VERSION").exists():
            raise UsageError(f"{target} lies in the data folder {folder}; name one elsewhere")
    _refuse_inside(place, (one.path for one in settings.sources.files))
    postgres = settings.sources.postgres
    if postgres is not None and port in postgres.ports():
        raise UsageError(f"--port {port} is a port of production; choose a free one")


def refuse_production(manifest: Manifest, target: Path) -> None:
    """Make sure that the target is not where production's data folder was at the backup.

    Raises:
        UsageError: it is.
    """
    folder = manifest.sources.get("postgres", {}).get("data_directory")
    if folder:
        _refuse_inside(target.resolve(), [Path(folder)])


def _refuse_inside(place: Path, folders: Iterable[Path]) -> None:
    for folder in folders:
        one = folder.resolve()
        if place == one or one in place.parents or place in one.parents:
            raise UsageError(f"{place} touches production's {folder}; name a folder elsewhere")
