"""Our own processes, beside those of the shop."""

from storewatch.config import Config
from storewatch.settings import ProcessSettings


def own_processes(config: Config) -> list[ProcessSettings]:
    """Return our own processes; the programs are found when they are first started."""
    settings = config.settings
    alertmanager = settings.alerting.alertmanager
    listen = settings.alerting.prometheus.listen
    given = ("--config", str(config.file))
    shop = tuple(process.name for process in settings.processes)
    own = [
        ProcessSettings(
            name="prometheus",
            command=("storewatch", *given, "engine", "prometheus"),
            ready=f"{address(listen)}/-/ready",
        ),
        ProcessSettings(
            name="alertmanager",
            command=("storewatch", *given, "engine", "alertmanager"),
            ready=f"{address(alertmanager.listen)}/-/ready",
        ),
        ProcessSettings(
            name="exporter",
            command=("storewatch", *given, "exporter"),
            ready=f"{address(settings.monitors.listen)}/health",
            after=shop,  # what is not up yet is not a failure
        ),
        ProcessSettings(
            name="desk",
            command=("storewatch", *given, "desk"),
            ready=f"http://{settings.console.host}:{settings.console.port}/health",
        ),
        ProcessSettings(name="scheduler", command=("storewatch", *given, "scheduler"), after=shop),
    ]
    if settings.backup is not None and settings.backup.sources.postgres is not None:
        command = ("storewatch", *given, "backup", "wal")
        own.append(ProcessSettings(name="wal-archiver", command=command, after=shop))
    return own


def address(listen: tuple[str, int]) -> str:
    """Return the http address of something that listens on a host and port."""
    return f"http://{listen[0]}:{listen[1]}"
