"""A fault, seen by a real exporter, judged by Prometheus, delivered by Alertmanager to a desk."""

import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import LoopbackServer, QuietHandler, free_port
from running import running, until

from alerting.prometheus import ProbeTarget, prometheus_argv, render_prometheus
from alerting.routes import alertmanager_argv, render_alertmanager
from alerting.rules import render_rules
from alerting.settings import AlertSettings
from monitors.exporter import Exporter
from monitors.page import Page
from monitors.probes.modules import load_modules
from monitors.registry import Sources, build_watch
from monitors.settings import MonitorSettings
from storewatch.store.evidence import EvidenceStore
from storewatch.tools import find_program

TOKEN = "the-desks-token"


class Site:
    """A shop and a desk: what is asked, and what is told."""

    def __init__(self) -> None:
        self.frozen = threading.Event()
        self.told: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        site = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                if self.path == "/health" and site.frozen.is_set():
                    threading.Event().wait(2)
                self.answer(200)

            def do_POST(self) -> None:
                site.tokens.add(self.headers.get("Authorization", ""))
                site.told += json.loads(self.body())["alerts"]
                self.answer(200)

        self.server = LoopbackServer(Handler)
        self.url = self.server.url

    def heard(self, alert: str, status: str) -> list[dict[str, Any]]:
        return [a for a in self.told if a["labels"]["alertname"] == alert and a["status"] == status]


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    with found.server.serving():
        yield found


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[tuple[str, int]]:
    watch = build_watch(MonitorSettings(), tmp_path, Sources(EvidenceStore(tmp_path)))
    page = Page(watch.collectors, 1.9)
    served = Exporter(("127.0.0.1", 0), page, load_modules(None), tmp_path)
    stop = threading.Event()
    thread = threading.Thread(target=served.serve, args=(stop,))
    thread.start()
    yield served.address
    stop.set()
    thread.join(10)


@pytest.fixture
def watched(site: Site, exporter: tuple[str, int], tmp_path: Path) -> Iterator[str]:
    """Prometheus and Alertmanager in a quick rhythm; Prometheus' address."""
    timing = {"group_wait": "200ms", "group_interval": "1s"}
    settings = AlertSettings.model_validate(
        {
            "prometheus": {
                "listen": f"127.0.0.1:{free_port()}",
                "scrape_interval": "1s",
                "evaluation_interval": "1s",
            },
            "alertmanager": {
                "listen": f"127.0.0.1:{free_port()}",
                "desk_url": f"{site.url}/webhook",
                "page": timing,
                "ticket": timing,
            },
        }
    )
    files = {name: tmp_path / name for name in ("rules.yml", "prom.yml", "am.yml", "token")}
    files["token"].write_text(TOKEN)
    files["rules.yml"].write_text(render_rules(settings))
    probes = [
        ProbeTarget("app-1", "app", "http_2xx", f"{site.url}/health"),
        ProbeTarget("app-2", "app", "http_2xx", site.url),
    ]
    files["prom.yml"].write_text(render_prometheus(settings, files["rules.yml"], exporter, probes))
    files["am.yml"].write_text(render_alertmanager(settings, files["token"]))
    manager = alertmanager_argv(
        settings.alertmanager, find_program("alertmanager"), files["am.yml"], tmp_path / "am"
    )
    engine = prometheus_argv(
        settings, find_program("prometheus"), files["prom.yml"], tmp_path / "tsdb"
    )
    host, port = settings.prometheus.listen
    manager_port = settings.alertmanager.listen[1]
    with (
        running(manager, tmp_path / "am.log", f"http://127.0.0.1:{manager_port}/-/ready"),
        running(engine, tmp_path / "prom.log", f"http://{host}:{port}/-/ready"),
    ):
        yield f"http://{host}:{port}"


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def test_a_frozen_instance_is_told_to_the_desk_and_so_is_its_end(site: Site, watched: str) -> None:
    until(lambda: len(ask(watched, 'probe_success{group="app"} == 1')) == 2, 20)
    until(lambda: ask(watched, 'up{job="storewatch"} == 1'), 20)
    assert not site.heard("InstanceDown", "firing")

    site.frozen.set()
    until(lambda: site.heard("InstanceDown", "firing"), 30)
    (told,) = site.heard("InstanceDown", "firing")
    assert told["labels"]["target"] == "app-1"
    assert told["annotations"]["runbook"] == "runbooks/pages/InstanceDown.md"
    assert site.tokens == {f"Bearer {TOKEN}"}

    site.frozen.clear()
    until(lambda: site.heard("InstanceDown", "resolved"), 30)
    assert {a["labels"]["alertname"] for a in site.told} == {"InstanceDown"}
    assert not ask(watched, "prometheus_rule_evaluation_failures_total > 0")
