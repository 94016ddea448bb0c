"""The shipped alerts: data in rules/*.yaml, numbers from the settings."""

import re
from pathlib import Path

import yaml
from pydantic import Field

from alerting.settings import Thresholds
from alerting.windows import Severity
from storewatch.schema import Section

FOLDER = Path(__file__).parent / "rules"

_REFERENCE = re.compile(r"\$\{(\w+)\}")


class Alert(Section):
    """One alert. `${name}` stands for a number of `alerting.thresholds`, times in seconds.

    Several entries may carry one name: the same trouble seen by different signs.
    """

    alert: str = Field(pattern=r"^[A-Z][A-Za-z]+$")
    expr: str
    hold: str = Field(default="0s", alias="for")
    keep_firing_for: str | None = None
    severity: Severity | None
    """None for the watchdog alone, which disturbs nobody."""
    summary: str
    labels: dict[str, str] = {}


def load_alerts(thresholds: Thresholds) -> list[tuple[str, list[Alert]]]:
    """Return the shipped alerts by group (a file's name), with the thresholds put in."""
    values = {name: _text(value) for name, value in thresholds}
    groups = []
    for path in sorted(FOLDER.glob("*.yaml")):
        raw = yaml.safe_load(_REFERENCE.sub(lambda m: values[m[1]], path.read_text()))
        groups.append((path.stem, [Alert.model_validate(entry) for entry in raw]))
    return groups


def _text(value: float | str) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
