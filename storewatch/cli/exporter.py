"""`exporter`: serve what is measured."""

import click

from backup.wal.reports import WalReports
from monitors.registry import Sources, run_exporter
from storewatch.cli.common import config_option, log_to_stderr, parts, until_told


@click.command()
@config_option
def exporter() -> None:
    """Serve metrics for Prometheus."""
    log_to_stderr()
    found = parts()
    settings, home = found.config.settings, found.config.home
    wal = WalReports(settings.backup) if settings.backup else None
    sources = Sources(found.evidence, found.signals, found.incidents, wal)
    run_exporter(settings.monitors, home, sources, until_told())
