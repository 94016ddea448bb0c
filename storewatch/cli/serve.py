"""`exporter`, `desk`, `scheduler`: our own long-running processes."""

import threading

import click
import uvicorn

from backup.wal.reports import WalReports
from console.app import Console
from monitors.registry import Sources, run_exporter
from storewatch.cli.common import config_option, log_to_stderr, parts, say, until_told
from storewatch.core.clock import rfc3339
from storewatch.own_processes import address
from storewatch.scheduler import build_scheduler


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


@click.command()
@config_option
def desk() -> None:
    """Receive alerts as incidents and serve the console."""
    found = parts()
    settings, alerting = found.config.settings.console, found.config.settings.alerting
    stop = threading.Event()
    reconciling = threading.Thread(target=found.reconciler().run, args=(stop,), daemon=True)
    links = {
        "Prometheus": address(alerting.prometheus.listen),
        "Alertmanager": address(alerting.alertmanager.listen),
    }
    app = Console(
        found.incidents,
        found.evidence,
        found.runbooks,
        settings.token,
        found.config.settings.name,
        links,
    ).app()
    log_to_stderr()
    reconciling.start()
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_config=None)
    stop.set()


@click.command()
@config_option
def scheduler() -> None:
    """Run backups and restore drills, and learn seasons, when they are due."""
    log_to_stderr()
    ending = until_told()
    found = parts()
    jobs = build_scheduler(found.config, found.state_url)
    for job in jobs.get_jobs():
        say(f"{job.id}: next at {rfc3339(job.next_run_time)}")
    ending.wait()
    jobs.shutdown(wait=False)
