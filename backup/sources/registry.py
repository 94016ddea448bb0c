"""From the settings to the sources. A new kind is one line here."""

from collections.abc import Callable
from pathlib import Path

from backup.parents import Parents
from backup.settings import BackupSettings
from backup.sources.dump import DumpSource
from backup.sources.files import FilesSource
from backup.sources.postgres import PostgresSource
from backup.sources.redis import RedisSource
from backup.sources.source import Source
from storewatch.store.postgres_programs import find_postgres


def open_sources(
    settings: BackupSettings, scratch: Path, in_every_tier: Callable[[str], str]
) -> list[Source]:
    """Return the sources in the order of the capture.

    The files come last, so that a file which a row of the database refers to was there when the
    files were read.

    Args:
        settings: of the package.
        scratch: private folder for this run.
        in_every_tier: tells what is wrong with the copies of a recovery point, empty when nothing.
    """
    found: list[Source] = []
    postgres = settings.sources.postgres
    if postgres is not None:
        programs = find_postgres(postgres.bin, settings.programs_cache)
        parents = Parents(settings.spool)
        found.append(PostgresSource(postgres, programs, scratch, parents, in_every_tier))
    if settings.sources.redis is not None:
        found.append(RedisSource(settings.sources.redis))
    found.extend(FilesSource(one) for one in settings.sources.files)
    return found


def open_dump(settings: BackupSettings, scratch: Path) -> Source:
    """Return the database as the source of a logical dump; sources.postgres is set."""
    postgres = settings.sources.postgres
    assert postgres is not None
    programs = find_postgres(postgres.bin, settings.programs_cache)
    return DumpSource(postgres, programs, scratch)
