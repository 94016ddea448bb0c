"""The section `chaos:` of storewatch.yaml."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from storewatch.core.targets import Target
from storewatch.schema import Duration, Section, TargetField

# Source: requirements.md R2 (recovery of a fault < 5 min); 30 and 90 s are our own.
_TARGETS = {
    "time_to_detect_s": Target("<=", 30),
    "time_to_recover_s": Target("<=", 90),
    "time_to_redundancy_s": Target("<=", 300),
    "orders_lost": Target("=", 0),
    "orders_duplicated": Target("=", 0),
    "double_charges": Target("=", 0),
    "wrong_amounts": Target("=", 0),
    "oversold_units": Target("=", 0),
}


def _keep_the_others(targets: dict[str, Target]) -> dict[str, Target]:
    """Whoever relaxes one target does not drop the others by leaving them out."""
    return {**_TARGETS, **targets}


class ProofSettings(Section):
    """One turn of the proof loop: a fault, the alert that must see it, the runbook that ends it.

    `experiment` is a Chaos Toolkit file; `alert` maps label names to the values that the delivered
    alert must carry (`alertname` among them); `runbook` is the page to run; `journey` is what must
    succeed again; `parameters` go to the runbook. `rejoin` is the page that brings back what the
    repair did without, such as the old primary as a standby: with it a proof is a fail-over drill.
    """

    experiment: Path
    alert: dict[str, str] = Field(min_length=1)
    runbook: str
    rejoin: str | None = None
    journey: str
    parameters: dict[str, str] = {}


class ChaosSettings(Section):
    """Fault injection and the proofs built on it.

    `environment` must be listed in `allowed_environments`: default deny. `load_rate` is journeys a
    second during a proof. `tolerated_alerts` may fire before a fault: those that always
    do, and error budgets, which look back on the faults injected before.
    """

    environment: str = "production"
    allowed_environments: tuple[str, ...] = ()
    lease: Duration = 180.0
    detect_within: Duration = 90.0
    recover_within: Duration = 120.0
    quiet_within: Duration = 90.0
    tolerated_alerts: tuple[str, ...] = ("Watchdog",)
    load_journey: str = "checkout"
    load_rate: float = Field(default=5.0, gt=0)
    proofs: dict[str, ProofSettings] = {}
    targets: Annotated[dict[str, TargetField], AfterValidator(_keep_the_others)] = _TARGETS
