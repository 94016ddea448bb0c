"""The only place that constructs the parts and hands them to each other."""

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from alerting import prometheus, routes, rules
from alerting.incidents import IncidentBook
from alerting.reconcile import Reconciler
from alerting.webhook import Alertmanager
from chaos import lease
from chaos.proof import ProofParts
from chaos.settings import ProofSettings
from loadtests import run as load
from loadtests import verdict
from loadtests.settings import ProfileSettings
from monitors.journeys import JourneyResult, JourneyTimer
from monitors.registry import journey_plan
from runbooks.page import Library
from runbooks.runner import run_page
from storewatch import tools
from storewatch.config import Config
from storewatch.core.errors import ChaosError, UsageError
from storewatch.core.parts import LoadResult
from storewatch.processes import Stack
from storewatch.settings import ProcessSettings
from storewatch.store.database import open_database
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import write_atomic

# Journeys on a timer use shoppers 490 to 499, load the others.
CHECKING_SHOPPERS = (480, 489)
UNTIL_STOPPED: Any = {"hold": "1h", "warm_up": "1s"}
REPAIR_SECTIONS = ("mitigation", "verify")
_SHIPPED_EXPERIMENTS = Path(__file__).parent.parent / "chaos" / "experiments"


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
    def incidents(self) -> IncidentBook:
        """The book of incidents in the state database."""
        return IncidentBook(open_database(self.state_url))

    @cached_property
    def alertmanager(self) -> Alertmanager:
        """Alertmanager's API; the receivers are the desk's."""
        listen = self.config.settings.alerting.alertmanager.listen
        return Alertmanager(address(listen), frozenset({"desk-page", "desk-ticket"}))

    @cached_property
    def runbooks(self) -> Library:
        """The runbook pages."""
        return Library(self.config.settings.runbooks.folders)

    @cached_property
    def stack(self) -> Stack:
        """The processes of the shop and our own."""
        own = [p for p in self._own_processes() if p.name in self._wanted()]
        processes = [*self.config.settings.processes, *own]
        return Stack(self.config.home, processes, self.config.environment)

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

    def reconciler(self) -> Reconciler:
        """Return what keeps the book in step with Alertmanager."""
        return Reconciler(self.incidents, self.alertmanager)

    def render(self) -> dict[str, Path]:
        """Write the configurations of Prometheus and Alertmanager and return where they are."""
        settings, home = self.config.settings, self.config.home
        files = {
            "rules": home / "prometheus" / "rules.yml",
            "prometheus": home / "prometheus" / "prometheus.yml",
            "alertmanager": home / "alertmanager" / "alertmanager.yml",
            "token": home / "alertmanager" / "desk.token",
        }
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(files["token"], settings.console.token.encode(), mode=0o600)
        for name, text in self.rendered().items():
            write_atomic(files[name], text.encode())
        return files

    def rendered(self) -> dict[str, str]:
        """Return the texts of rules, prometheus and alertmanager."""
        settings, home = self.config.settings, self.config.home
        rules_file = home / "prometheus" / "rules.yml"
        token = home / "alertmanager" / "desk.token"
        listen = settings.monitors.listen
        return {
            "rules": rules.render_rules(settings.alerting),
            "prometheus": prometheus.render_prometheus(settings.alerting, rules_file, listen),
            "alertmanager": routes.render_alertmanager(settings.alerting.alertmanager, token),
        }

    def run_runbook(
        self,
        name: str,
        sections: tuple[str, ...],
        parameters: dict[str, str],
        say: Callable[[str], None],
    ) -> Any:
        """Run the steps of a page with the secrets in its environment."""
        page = self.runbooks.page(name)
        timeout_s = self.config.settings.runbooks.step_timeout
        return run_page(page, sections, parameters, self.environment, timeout_s, say)

    def proof(self, name: str) -> ProofSettings:
        """Return a configured proof, its experiment file found.

        Raises:
            UsageError: no such proof, or no such file.
        """
        proofs = self.config.settings.chaos.proofs
        if name not in proofs:
            known = ", ".join(proofs) or "none"
            raise UsageError(f"no proof {name!r} in chaos.proofs; there are: {known}")
        written = proofs[name].experiment
        for candidate in (self.config.file.parent / written, _SHIPPED_EXPERIMENTS / written):
            if candidate.is_file():
                return proofs[name].model_copy(update={"experiment": candidate})
        raise UsageError(f"chaos.proofs.{name}.experiment: no file {written}")

    def proof_parts(self, name: str, say: Callable[[str], None]) -> ProofParts:
        """Return what a proof works with."""
        proof = self.proof(name)
        runbook = self.runbooks.page(proof.runbook)
        os.environ.update(self.config.environment)  # leases and undo commands read it

        def repair(folder: Path) -> bool:
            result = self.run_runbook(proof.runbook, REPAIR_SECTIONS, proof.parameters, say)
            steps = [one.to_json() for one in result.results]
            (folder / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")
            return bool(result.ok)

        walker = self._walker(proof.journey)
        return ProofParts(
            store=self.evidence,
            start_load=self._start_load,
            desk=self.incidents,
            alerts=self.alertmanager,
            repair=repair,
            check=lambda: _error(walker.walk_once()),
            environment=self.environment,
            fingerprints={"runbook": runbook.path, "experiment": proof.experiment},
        )

    def _start_load(self, folder: Path) -> "_ProofLoad":
        chaos = self.config.settings.chaos
        profile = ProfileSettings(rate=chaos.load_rate, **UNTIL_STOPPED)
        running = load.start_load(
            self.config.settings.loadtests, chaos.load_journey, profile, folder, lambda _line: None
        )
        return _ProofLoad(self, running)

    def _walker(self, name: str) -> JourneyTimer:
        """Return a watched journey, to be walked by shoppers that nobody else uses."""
        for journey in self.config.settings.monitors.journeys:
            if journey.name == name:
                plan = journey_plan(journey, self.config.home)
                return JourneyTimer(replace(plan, shoppers=CHECKING_SHOPPERS))
        raise UsageError(f"no journey {name!r} in monitors.journeys; a proof needs one to watch")

    def _wanted(self) -> set[str]:
        wanted: set[str] = set(self.config.settings.run)
        return wanted if self.config.settings.backup else wanted - {"scheduler"}

    def _own_processes(self) -> list[ProcessSettings]:
        """Return our own processes; the programs are found when they are first started."""
        settings = self.config.settings
        alertmanager = settings.alerting.alertmanager
        listen = settings.alerting.prometheus.listen
        config = ("--config", str(self.config.file))
        shop = tuple(process.name for process in settings.processes)
        return [
            ProcessSettings(
                name="prometheus",
                command=("storewatch", *config, "engine", "prometheus"),
                ready=f"{address(listen)}/-/ready",
            ),
            ProcessSettings(
                name="alertmanager",
                command=("storewatch", *config, "engine", "alertmanager"),
                ready=f"{address(alertmanager.listen)}/-/ready",
            ),
            ProcessSettings(
                name="exporter",
                command=("storewatch", *config, "exporter"),
                ready=f"{address(settings.monitors.listen)}/health",
                after=shop,  # what is not up yet is not a failure
            ),
            ProcessSettings(
                name="desk",
                command=("storewatch", *config, "desk"),
                ready=f"http://{settings.console.host}:{settings.console.port}/health",
            ),
            ProcessSettings(
                name="scheduler", command=("storewatch", *config, "scheduler"), after=shop
            ),
        ]

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


@dataclass(frozen=True, slots=True)
class _ProofLoad:
    """Load beside a proof: latency is shown, the orders are judged."""

    parts: Parts
    running: load.RunningLoad

    def stop(self) -> LoadResult:
        """End the load, reconcile its ledger and return what was found."""
        settings = self.parts.config.settings.loadtests
        summary = self.running.stop()
        found = verdict.measurements(summary, {})
        notes = verdict.reasons_to_distrust(summary)
        if settings.reconciliation is not None:
            books = load.settled(self.running, settings.reconciliation)
            found += books.measurements()
            notes += books.notes()
        return LoadResult(tuple(found), tuple(notes), summary)

    def kill(self) -> None:
        """End the load at once."""
        self.running.kill()


def _error(result: JourneyResult) -> str:
    """Return what went wrong in a walk, "" for nothing."""
    return "" if result.outcome == "ok" else result.error or result.outcome


def address(listen: tuple[str, int]) -> str:
    """Return the http address of something that listens on a host and port."""
    return f"http://{listen[0]}:{listen[1]}"
