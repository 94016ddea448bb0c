"""`desk`: take alerts in as incidents and show people where things stand."""

import threading

import click
import uvicorn

from console.app import Console
from storewatch.cli.common import config_option, log_to_stderr, parts
from storewatch.own_processes import address


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
