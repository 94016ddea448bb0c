"""The only place that constructs the parts and hands them to each other.

What a part is made of is imported when it is asked for: a command that an engineer types at night,
or that is a step of a runbook, loads no database, no supervisor and no probe that it does not use.
"""

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from alerting import prometheus, routes, rules
from alerting.slo import Slo
from chaos import lease
from monitors.settings import BUCKETS_S
from storewatch import tools
from storewatch.config import Config
from storewatch.core.clock import parse_rfc3339, utc_now
from storewatch.core.errors import ChaosError
from storewatch.own_processes import address, own_processes
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import write_atomic

if TYPE_CHECKING:
    from alerting.anomaly import learn
    from alerting.incidents import IncidentBook
    from alerting.reconcile import Reconciler
    from alerting.webhook import Alertmanager
    from loadtests.judging import Surroundings
    from monitors.live import Trial
    from runbooks.page import Library
    from storewatch.processes import Stack

REPAIR_SECTIONS = ("mitigation", "verify")
# What the exporter's histograms have: an SLO at another threshold is refused.
HISTOGRAMS = {"storewatch_edge_request_duration_seconds": tuple(str(bound) for bound in BUCKETS_S)}


def version() -> str:
    """Return the installed version of storewatch."""
    return importlib.metadata.version("storewatch")


@dataclass(frozen=True)
class Parts:
    """All parts of one configuration, each made when it is first asked for."""

    config: Config

    @cached_property
    def evidence(self) -> EvidenceStore:
        """The evidence, new records marked with version, configuration and host."""
        host = {"cpus": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total}
        context = {"version": version(), "config_sha256": self.config.sha256, "host": host}
        return EvidenceStore(self.config.home, context)

    @property
    def state_url(self) -> str:
        """The state database: the configured one, else a file in the state folder."""
        self.config.home.mkdir(parents=True, exist_ok=True)
        default = f"sqlite:///{self.config.home / 'storewatch.db'}"
        return self.config.settings.state_database or default

    @cached_property
    def incidents(self) -> "IncidentBook":
        """The book of incidents in the state database."""
        from alerting.incidents import IncidentBook
        from storewatch.store.database import open_database

        return IncidentBook(open_database(self.state_url))

    def incident_since(self, moment: datetime) -> str:
        """Name an incident that has woken somebody since a moment; "" for none."""
        for one in self.incidents.list(unresolved_only=True):
            if one.severity == "page" and parse_rfc3339(one.opened_at) >= moment:
                return f"{one.alert} ({one.summary})"
        return ""

    @property
    def surroundings(self) -> "Surroundings":
        """What a load test asks of the shop that it loads."""
        from loadtests.judging import Surroundings
        from storewatch.store.prometheus_api import range_query

        return Surroundings(self.incident_since, partial(range_query, self.prometheus_url))

    @cached_property
    def alertmanager(self) -> "Alertmanager":
        """Alertmanager's API; the receivers are the desk's."""
        from alerting.webhook import Alertmanager

        windows = self.config.settings.alerting.maintenance
        return Alertmanager(
            self.alertmanager_url,
            frozenset({"desk-page", "desk-ticket"}),
            lambda labels: any(w.concerns(labels) and w.active(utc_now()) for w in windows),
        )

    @property
    def alertmanager_url(self) -> str:
        """Alertmanager's address."""
        return address(self.config.settings.alerting.alertmanager.listen)

    @property
    def alertmanager_config(self) -> dict[str, Any]:
        """Alertmanager's configuration; it may hold secrets."""
        return routes.alertmanager_config(self.config.settings.alerting, self.desk_token)

    @property
    def desk_token(self) -> Path:
        """The file with the desk's bearer token."""
        return self.config.home / "alertmanager" / "desk.token"

    @cached_property
    def runbooks(self) -> "Library":
        """The runbook pages."""
        from runbooks.page import Library

        return Library(self.config.settings.runbooks.folders)

    @cached_property
    def stack(self) -> "Stack":
        """The processes of the shop and our own."""
        from storewatch.processes import Stack

        own = [p for p in own_processes(self.config) if p.name in self.config.settings.run]
        processes = [*self.config.settings.processes, *own]
        return Stack(self.config.home, processes, self.config.environment)

    @property
    def seasons_file(self) -> Path:
        """Where it is kept what signals should bring."""
        return self.config.home / "anomaly" / "seasons.json"

    @cached_property
    def signals(self) -> "learn.Signals":
        """What signals should bring now."""
        from alerting.anomaly import learn

        return learn.Signals(self.config.settings.alerting.anomaly, self.seasons_file)

    def learn_seasons(self, now: float) -> "learn.Seasons":
        """Learn what signals should bring and keep it.

        Raises:
            UnreachableError: Prometheus does not answer; what was learnt before stays.
        """
        from alerting.anomaly import learn
        from storewatch.store.prometheus_api import range_query

        settings = self.config.settings.alerting
        ask = partial(range_query, address(settings.prometheus.listen), strict=True)
        seasons = learn.learn(settings.anomaly, ask, now, self.incidents.list())
        learn.save(seasons, self.seasons_file)
        return seasons

    @property
    def prometheus_url(self) -> str:
        """Prometheus' address."""
        return address(self.config.settings.alerting.prometheus.listen)

    @cached_property
    def service_levels(self) -> list[Slo]:
        """The objectives of the SLO files."""
        return rules.service_levels(self.config.settings.alerting, HISTOGRAMS)

    @property
    def environment(self) -> dict[str, str]:
        """What a command started from here gets: our environment and the secrets."""
        return {**os.environ, **self.config.environment}

    def down(self, say: Callable[[str], None]) -> None:
        """Undo every fault under lease while that is still possible, then end the stack.

        A fault of a process ends with the process; what could not be undone is said.
        """
        os.environ.update(self.config.environment)  # leases and undo commands read it
        for held in lease.open_leases():
            if self.stack.supervisor.alive():
                with contextlib.suppress(ChaosError):
                    lease.give_back(held)
            say(f"{held.fault}: {'ends with the stack' if held.path().exists() else 'undone'}")
        self.stack.down(say)
        for held in lease.open_leases():
            held.path().unlink(missing_ok=True)

    def reconciler(self) -> "Reconciler":
        """Return what keeps the book in step with Alertmanager."""
        from alerting.reconcile import Reconciler

        return Reconciler(self.incidents, self.alertmanager)

    def render(self) -> dict[str, Path]:
        """Write the configurations of Prometheus and Alertmanager and return where they are."""
        settings, home = self.config.settings, self.config.home
        files = {
            "rules": home / "prometheus" / "rules.yml",
            "prometheus": home / "prometheus" / "prometheus.yml",
            "alertmanager": home / "alertmanager" / "alertmanager.yml",
            "token": self.desk_token,
        }
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(files["token"], settings.console.token.encode(), mode=0o600)
        for name, text in self.rendered().items():
            # Receivers and scrape jobs of one's own may hold secrets.
            mode = 0o644 if name == "rules" else 0o600
            write_atomic(files[name], text.encode(), mode=mode)
        return files

    def try_everything(self) -> "Iterator[Trial]":
        """Try once what is watched."""
        from monitors.live import trials
        from monitors.registry import journey_plan

        settings, home = self.config.settings.monitors, self.config.home
        os.environ.update(self.config.environment)  # journeys may read it
        return trials(settings, home, [journey_plan(one, home) for one in settings.journeys])

    def probe_targets(self) -> list[prometheus.ProbeTarget]:
        """Return what Prometheus has the exporter probe."""
        return [
            prometheus.ProbeTarget(one.name, one.group, one.module, one.target)
            for one in self.config.settings.monitors.probes.targets
        ]

    def rendered(self, *, secrets: bool = True) -> dict[str, str]:
        """Return the texts of rules, prometheus and alertmanager."""
        settings, home = self.config.settings, self.config.home
        alerting, listen = settings.alerting, settings.monitors.listen
        rules_file = home / "prometheus" / "rules.yml"
        return {
            "rules": rules.render_rules(
                alerting, rehearsed=settings.backup is not None, histograms=HISTOGRAMS
            ),
            "prometheus": prometheus.render_prometheus(
                alerting, rules_file, listen, self.probe_targets(), secrets=secrets
            ),
            "alertmanager": routes.render_alertmanager(alerting, self.desk_token, secrets=secrets),
        }

    def run_runbook(
        self,
        name: str,
        sections: tuple[str, ...],
        parameters: dict[str, str],
        say: Callable[[str], None],
    ) -> Any:
        """Run the steps of a page with the secrets in its environment."""
        from runbooks.runner import run_page

        page = self.runbooks.page(name)
        timeout_s = self.config.settings.runbooks.step_timeout
        return run_page(page, sections, parameters, self.environment, timeout_s, say)

    def engine_argv(self, name: str) -> list[str]:
        """Return the argv of Prometheus or Alertmanager, its configuration freshly written."""
        files, home = self.render(), self.config.home
        settings = self.config.settings.alerting
        program = tools.find_program(name)
        if name == "prometheus":
            data = home / "prometheus" / "data"
            return prometheus.prometheus_argv(settings, program, files["prometheus"], data)
        data = home / "alertmanager" / "data"
        return routes.alertmanager_argv(settings.alertmanager, program, files["alertmanager"], data)
