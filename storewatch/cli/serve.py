"""`exporter`, `desk`, `scheduler`: our own long-running processes."""

import logging
import signal
import threading

import click
import uvicorn

from console.app import Console
from monitors.registry import run_exporter
from storewatch.cli.common import config_option, parts, say
from storewatch.core.clock import rfc3339
from storewatch.scheduler import build_scheduler
from storewatch.wiring import address


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
    run_exporter(found.config.settings.monitors, found.config.home, found.evidence, _until_told())


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
    """Run backups and restore drills when they are due."""
    ending = _until_told()
    found = parts()
    jobs = build_scheduler(found.config, found.state_url)
    for job in jobs.get_jobs():
        say(f"{job.id}: next at {rfc3339(job.next_run_time)}")
    ending.wait()
    jobs.shutdown(wait=False)
