"""The surroundings of a proof, which behave as each test wants."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos_site import SwitchedPart

from chaos.lease import open_leases
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.parts import Delivery, Labels, LoadResult
from storewatch.store.evidence import EvidenceStore

ALERT = {"alertname": "PartHangs", "severity": "page"}
ORDERS = {
    "orders_acknowledged": 40,
    "orders_lost": 0,
    "orders_duplicated": 0,
    "double_charges": 0,
    "wrong_amounts": 0,
    "oversold_units": 0,
}


@dataclass
class World:
    """Desk, alerts, load, runbook and journey of a part that may hang."""

    part: SwitchedPart
    alert_comes: bool = True
    alert_ends: bool = True
    runbook_works: bool = True
    heals: bool = True
    firing_before: list[str] = field(default_factory=list)
    orders: dict[str, float] = field(default_factory=lambda: dict(ORDERS))
    rejoins: bool | None = None
    rejoined_while: str = ""
    repaired: bool = False
    repaired_while: str = ""
    loads: list[str] = field(default_factory=list)
    opened: float | None = None
    resolved: float | None = None
    stale: bool = False

    def deliveries(self, labels: Labels, since_unix_s: float) -> Sequence[Delivery]:
        assert labels == {"alertname": "PartHangs"}
        found = [Delivery("0OLD", ALERT, 1.0, None)] if self.stale else []
        if self.alert_comes and self.part.mode == "hang" and self.opened is None:
            self.opened = time.time()
        if self.opened and self.repaired and self.alert_ends and self.resolved is None:
            self.resolved = time.time()
        if self.opened:
            found.append(Delivery("0NEW", ALERT, self.opened, self.resolved))
        return [one for one in found if one.opened_unix_s >= since_unix_s]

    def firing(self) -> Sequence[Labels]:
        return [{"alertname": name} for name in ("Watchdog", *self.firing_before)]

    def check(self) -> str:
        hurt = self.part.mode == "hang" and not (self.repaired and self.heals)
        return "place_order: the payment hangs" if hurt else ""

    def repair(self, folder: Path) -> bool:
        self.repaired_while = self.part.mode
        (folder / "steps.json").write_text("[]")
        self.repaired = self.runbook_works
        return self.runbook_works

    def rejoin(self, folder: Path) -> bool:
        self.rejoined_while = f"{self.part.mode}, load {self.loads[-1]}"
        (folder / "steps.json").write_text("[]")
        return bool(self.rejoins)

    def start_load(self, folder: Path) -> "World":
        (folder / "plan.json").write_text("{}")
        self.loads.append("started")
        return self

    def stop(self) -> LoadResult:
        self.loads.append("stopped")
        measured = (Measurement(n, v, "orders") for n, v in self.orders.items())
        return LoadResult(tuple(measured), ("a note of the load",), {})

    def kill(self) -> None:
        self.loads.append("killed")


Run = Callable[..., Evidence]


def events(tmp_path: Path, evidence: Evidence) -> list[str]:
    path = EvidenceStore(tmp_path).folder(evidence) / "timeline.json"
    return [event["what"] for event in json.loads(path.read_text())]


def assert_undone(world: World) -> None:
    assert world.part.mode == "ok"
    assert open_leases() == []
