"""Service level objectives from Sloth's `prometheus/v1` files.

Source: Sloth, pkg/prometheus/api/v1. Only SLIs of kind `events` are taken: a raw ratio cannot be
weighted by its events over longer windows.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError

from storewatch.core.errors import AlertError
from storewatch.schema import Section

SHIPPED = Path(__file__).parent / "slos"

_WINDOW = re.compile(r"\{\{\s*\.window\s*\}\}")
_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"


def _query(text: str) -> str:
    if not _WINDOW.search(text):
        raise ValueError("the query has no {{.window}}; write rate(requests_total[{{.window}}])")
    return text.strip()


Query = Annotated[str, AfterValidator(_query)]


class Events(Section):
    """Rates of bad and of all events, each over {{.window}}."""

    error_query: Query
    total_query: Query

    def errors(self, window: str) -> str:
        """Return the query of bad events per second over a window such as 5m."""
        return _WINDOW.sub(window, self.error_query)

    def total(self, window: str) -> str:
        """Return the query of all events per second over a window such as 5m."""
        return _WINDOW.sub(window, self.total_query)


class Sli(Section):
    """What is counted."""

    events: Events


class AlertSpec(Section):
    """What one of the two alerts adds to labels and annotations."""

    disable: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Alerting(Section):
    """The alert on the error budget: its name, and what both severities share."""

    name: str = Field(pattern=_NAME)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    page_alert: AlertSpec = AlertSpec()
    ticket_alert: AlertSpec = AlertSpec()


class Slo(Section):
    """One objective: a percentage of good events over 30 days."""

    name: str = Field(pattern=_NAME)
    description: str = ""
    objective: float = Field(gt=0, lt=100)
    labels: dict[str, str] = {}
    sli: Sli
    alerting: Alerting

    @property
    def error_budget_ratio(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.objective / 100, 12)


class SloFile(Section):
    """A Sloth file: the objectives of one service."""

    version: Literal["prometheus/v1"]
    service: str = Field(pattern=_NAME)
    labels: dict[str, str] = {}
    slos: tuple[Slo, ...]


def load_slos(paths: tuple[Path, ...] = ()) -> list[SloFile]:
    """Read Sloth files, the shipped ones where none are named, in order of their names.

    Raises:
        AlertError: a file cannot be read or is no such file; one line with file, key and form.
    """
    files = [_load(path) for path in (paths or sorted(SHIPPED.glob("*.yaml")))]
    seen: set[str] = set()
    for file in files:
        for slo in file.slos:
            identifier = f"{file.service}-{slo.name}"
            if identifier in seen:
                raise AlertError(f"two SLOs are called {identifier}; give each its own name")
            seen.add(identifier)
    return files


def _load(path: Path) -> SloFile:
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise AlertError(f"{path}: cannot be read ({error.strerror}); name a Sloth file") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise AlertError(f"{path}: not YAML ({reason})") from error
    try:
        return SloFile.model_validate(raw)
    except ValidationError as error:
        raise AlertError(f"{path}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    found = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key = ".".join(str(part) for part in found["loc"]) or "the file"
    if found["type"] == "extra_forbidden":
        return f"{key}: unknown key; a Sloth prometheus/v1 file with SLIs of kind events has none"
    return f"{key}: {found['msg'].removeprefix('Value error, ')}"
