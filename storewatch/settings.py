"""The sections of storewatch.yaml that belong to no package, and the whole of it."""

from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from alerting.settings import AlertSettings
from backup.settings import BackupSettings
from chaos.settings import ChaosSettings
from loadtests.settings import LoadSettings
from monitors.settings import MonitorSettings
from runbooks.settings import RunbookSettings
from storewatch.core.journey import load_journey
from storewatch.schema import Duration, Section


class SecretSettings(Section):
    """Secrets that are made up at first use and kept in `secrets.env` (0600) of the state folder.

    Anything else that `${NAME}` asks for must be in the environment or in that file.
    """

    generate: tuple[str, ...] = ()


class ProcessSettings(Section):
    """One process of the stack.

    `command` is an argv list; `python` as its first word is the Python that runs storewatch.
    `ready` answers once the process is up: tcp://host:port or http(s)://... (any status below 500).
    `after` names processes that must be ready before.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    command: tuple[str, ...] = Field(min_length=1)
    ready: str | None = Field(default=None, pattern=r"^(tcp|https?)://[^/:]+:\d+(/.*)?$")
    after: tuple[str, ...] = ()
    restart: bool = True
    stop_signal: str = Field(default="TERM", pattern=r"^(TERM|INT|QUIT)$")
    start_within: Duration = 60.0
    stop_within: Duration = 10.0


class ConsoleSettings(Section):
    """The desk and the pages people look at; `token` guards the webhook and every change."""

    host: str = "127.0.0.1"
    port: int = Field(default=18600, ge=1, le=65535)
    token: str = Field(min_length=16)


class DemoSettings(Section):
    """What `storewatch demo` rehearses, in this order: load, backup, drill, proofs.

    `fresh` lists folders of the state folder that a demo begins without: a demo starts from a new
    shop, its evidence stays.
    """

    journey: str = "checkout"
    profile: str = "baseline"
    drill_tier: str = "cloud"
    proofs: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    addresses: dict[str, str] = {}

    @field_validator("fresh")
    @classmethod
    def _inside(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if Path(name).name != name or name in {"", ".", ".."}:
                raise ValueError("not a folder of the state folder; write one name, such as shop")
        return names


Part = Literal["prometheus", "alertmanager", "exporter", "desk", "scheduler", "wal-archiver"]


class Settings(Section):
    """The whole of storewatch.yaml.

    `run` names those of our own processes that `storewatch up` starts beside `processes`.
    """

    name: str = Field(default="shop", pattern=r"^[a-z][a-z0-9-]*$")
    state_database: str | None = None
    secrets: SecretSettings = SecretSettings()
    processes: tuple[ProcessSettings, ...] = ()
    run: tuple[Part, ...] = get_args(Part)
    monitors: MonitorSettings
    alerting: AlertSettings
    runbooks: RunbookSettings = RunbookSettings()
    loadtests: LoadSettings
    backup: BackupSettings | None = None
    chaos: ChaosSettings = ChaosSettings()
    console: ConsoleSettings
    demo: DemoSettings | None = None

    @field_validator("processes")
    @classmethod
    def _distinct(cls, processes: tuple[ProcessSettings, ...]) -> tuple[ProcessSettings, ...]:
        names = [process.name for process in processes]
        for process in processes:
            if names.count(process.name) > 1:
                raise ValueError(f"two processes are named {process.name}; names are unique")
        return processes

    @model_validator(mode="after")
    def _load_journeys_exist(self) -> Self:
        for name, path in self.loadtests.journeys.items():
            try:
                load_journey(path)
            except ValueError as error:
                raise ValueError(f"loadtests.journeys.{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _drill_journeys_exist(self) -> Self:
        application = self.backup.drill.application if self.backup else None
        for path in application.journeys if application else ():
            try:
                load_journey(path)
            except ValueError as error:
                raise ValueError(f"backup.drill.application.journeys: {error}") from None
        return self

    @model_validator(mode="after")
    def _policies_can_be_met(self) -> Self:
        for name, policy in self.loadtests.policies.items():
            for index, one in enumerate(policy):
                where = f"loadtests.policies.{name}[{index}]"
                runs_a_drill = one.drill is not None and one.drill.within is None
                if runs_a_drill and self.backup is None:
                    raise ValueError(f"{where}: drill: run needs the section backup")
                if one.proof is not None and one.proof.name not in self.chaos.proofs:
                    known = ", ".join(self.chaos.proofs) or "none"
                    raise ValueError(
                        f"{where}: no proof {one.proof.name!r}; chaos.proofs has: {known}"
                    )
        return self

    @model_validator(mode="after")
    def _demo_names_exist(self) -> Self:
        demo = self.demo
        if demo is None:
            return self
        for name in demo.proofs:
            if name not in self.chaos.proofs:
                known = ", ".join(self.chaos.proofs) or "none"
                raise ValueError(f"demo.proofs: no proof {name!r}; chaos.proofs has: {known}")
        return self
