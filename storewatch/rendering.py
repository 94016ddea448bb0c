"""Dashboards and Kubernetes objects, made from the settings."""

from pathlib import Path

from alerting.prometheus import duration
from alerting.rules import compile_rules, service_levels
from monitors.dashboards import grafana, kubernetes
from monitors.dashboards.model import Board, Limits
from monitors.dashboards.registry import boards
from storewatch.own_processes import address
from storewatch.settings import Settings
from storewatch.store.files import write_atomic
from storewatch.wiring import HISTOGRAMS

_EDGE_REQUESTS = "storewatch_edge_requests_total"
_EDGE_DURATION = "storewatch_edge_request_duration_seconds"


def limits(settings: Settings) -> Limits:
    """Return the numbers that panels are judged by.

    Response time and failures are those of the service levels of the edge, the rest is what alerts,
    drills and load tests are judged by.

    Source: requirements.md R2 for the page load, and where no service level is about the edge.
    """
    thresholds, backup = settings.alerting.thresholds, settings.backup
    p95 = settings.loadtests.targets.get("p95_s")
    slos = service_levels(settings.alerting, HISTOGRAMS)
    bounds = (float(le) for slo in slos for name, le in slo.sli.buckets if name == _EDGE_DURATION)
    failing = (slo.error_budget_ratio for slo in slos if _EDGE_REQUESTS in slo.sli.total)
    return Limits(
        response_s=next(bounds, 0.2),
        page_load_s=2.0,
        error_ratio=next(failing, 0.001),
        replica_lag_s=thresholds.replica_lag_max,
        payment_failure_ratio=thresholds.payment_failure_ratio_max,
        products_below_safety=thresholds.products_below_safety_max,
        certificate_s=thresholds.certificate_min_validity,
        disk_free_ratio_ticket=thresholds.disk_free_ratio_min,
        disk_free_ratio_page=thresholds.disk_free_ratio_page,
        connections_ratio=thresholds.connections_used_ratio_max,
        transaction_age_s=thresholds.transaction_max_age,
        slot_retained_bytes=thresholds.slot_retained_bytes_max,
        backup_age_s=thresholds.backup_max_age,
        drill_age_s=thresholds.drill_max_age,
        recovery_time_s=backup.drill.targets.recovery_time_s.bound if backup else 7200.0,
        recovery_point_s=backup.drill.targets.recovery_point_s.bound if backup else 90_000.0,
        load_p95_s=p95.bound if p95 else 0.2,
    )


def dashboards(settings: Settings) -> dict[str, str]:
    """Return the JSON text of every dashboard by its uid."""
    console = settings.console
    runbooks_url = f"http://{console.host}:{console.port}/runbooks"
    return {
        board.uid: grafana.to_json(grafana.to_grafana(board, runbooks_url))
        for board in shown(settings)
    }


def shown(settings: Settings) -> list[Board]:
    """Return every dashboard."""
    return boards(limits(settings))


def write_grafana(settings: Settings, folder: Path) -> list[Path]:
    """Write dashboards and provisioning files and return where they are."""
    texts = {f"dashboards/{uid}.json": text for uid, text in dashboards(settings).items()}
    own = settings.alerting.prometheus
    texts |= grafana.provisioning(address(own.listen), duration(own.scrape_interval))
    written = []
    for name, text in sorted(texts.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
        written.append(path)
    return written


def kubernetes_text(settings: Settings) -> str:
    """Return rules, scraping, probes and dashboards as Kubernetes objects."""
    rules = compile_rules(
        settings.alerting, rehearsed=settings.backup is not None, histograms=HISTOGRAMS
    )
    return kubernetes.manifests(
        settings.name,
        rules["groups"],
        dashboards(settings),
        scrape_interval=duration(settings.alerting.prometheus.scrape_interval),
        probes=settings.monitors.probes.targets,
    )
