"""`exporter`, `desk`, `scheduler`: our own long-running processes."""

import logging
import signal
import threading

import click
import uvicorn

from backup.wal.reports import WalReports
from console.app import Console
from monitors.registry import Sources, run_exporter
from storewatch.cli.common import config_option, parts, say
from storewatch.core.clock import rfc3339
from storewatch.own_processes import address
from storewatch.scheduler import build_scheduler


def _until_told() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ending.set())
    return ending


@click.command()
@config_option
def exporter() -> None:
    """Serve metrics for Prometheus."""
    found = parts()
    settings, home = found.config.settings, found.config.home
    wal = WalReports(settings.backup) if settings.backup else None
    sources = Sources(found.evidence, found.signals, found.incidents, wal)
    run_exporter(settings.monitors, home, sources, _until_told())


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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    reconciling.start()
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_config=None)
    stop.set()


@click.command()
@config_option
def scheduler() -> None:
    """Run backups and restore drills, and learn seasons, when they are due."""
    ending = _until_told()
    found = parts()
    jobs = build_scheduler(found.config, found.state_url)
    for job in jobs.get_jobs():
        say(f"{job.id}: next at {rfc3339(job.next_run_time)}")
    ending.wait()
    jobs.shutdown(wait=False)
