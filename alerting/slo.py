"""Service level objectives, whatever format they were written in, and how their files are read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from alerting.sli import Sli
from storewatch.core.errors import AlertError
from storewatch.schema import Section

NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"
DEFAULT_ALERT = "SloBudgetBurn"
"""The alert of an objective whose file names none."""

Model = TypeVar("Model", bound=BaseModel)


class AlertSpec(Section):
    """What one of the two alerts adds to labels and annotations."""

    disable: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Alerting(Section):
    """The alert on the error budget: its name, and what both severities share."""

    name: str = Field(default=DEFAULT_ALERT, pattern=NAME)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    page_alert: AlertSpec = AlertSpec()
    ticket_alert: AlertSpec = AlertSpec()


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective: a percentage of good events over a period.

    Attributes:
        service, name: who promises what; together they are its id.
        objective: percentage of good events.
        period_days: 7, 28 or 30.
        sli: what is counted.
        spec: the format that it was written in.
        file: where.
        labels: of all its records.
        info_labels: of `sloth_slo_info` alone.
    """

    service: str
    name: str
    objective: float
    period_days: int
    sli: Sli
    spec: str
    file: Path
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    info_labels: Mapping[str, str] = field(default_factory=dict)
    alerting: Alerting = field(default_factory=Alerting)

    @property
    def id(self) -> str:
        """Sloth's identifier."""
        return f"{self.service}-{self.name}"

    @property
    def error_budget_ratio(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.objective / 100, 12)

    @property
    def record_labels(self) -> dict[str, str]:
        """The labels that each of its records carries."""
        own = {"sloth_id": self.id, "sloth_service": self.service, "sloth_slo": self.name}
        return {**self.labels, **own}


def read_documents(path: Path) -> list[Any]:
    """Return the YAML documents of a file.

    Raises:
        AlertError: it cannot be read, is no YAML, or holds nothing.
    """
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text()) if one is not None]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise AlertError(
            f"{path}: cannot be read ({reason}); name a Sloth or OpenSLO file"
        ) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise AlertError(f"{path}: not YAML ({reason})") from error
    if not documents:
        raise AlertError(f"{path}: the file is empty; write a Sloth or OpenSLO document")
    return documents


def parse(model: type[Model], raw: Any, where: str, hints: Mapping[str, str]) -> Model:
    """Return a validated model.

    Args:
        model: of one document.
        raw: the document.
        where: the file, and the document in it.
        hints: what to say of keys that the format has and we have not, by name.

    Raises:
        AlertError: one line with file, key path and what a right value looks like.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise AlertError(f"{where}: {_first(error, hints)}") from error


def _first(error: ValidationError, hints: Mapping[str, str]) -> str:
    errors = error.errors(include_url=False)
    found = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key = ".".join(str(part) for part in found["loc"]) or "the file"
    if found["type"] == "extra_forbidden":
        name = str(found["loc"][-1])
        if name in hints:
            return f"{key}: not supported; {hints[name]}"
        return f"{key}: unknown key; the format has none of this name here"
    if found["type"] == "missing":
        return f"{key}: missing; this key is required"
    return f"{key}: {found['msg'].removeprefix('Value error, ')}"


def refuse_twins(slos: Iterable[Slo]) -> None:
    """Refuse two objectives of one id.

    Raises:
        AlertError: with both files.
    """
    seen: dict[str, Slo] = {}
    for slo in slos:
        if slo.id in seen:
            raise AlertError(
                f"{slo.file}: two SLOs are called {slo.id} (the other is in {seen[slo.id].file});"
                " give each its own name"
            )
        seen[slo.id] = slo
