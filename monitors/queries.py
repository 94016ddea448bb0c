"""Business queries: a YAML file of SQL, each query with its metric's type, labels and limits."""

import math
import re
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationError, model_validator

from storewatch.schema import Duration, Section, StrictLoader

MAXIMUM_SERIES = 1000
"""Series that one query may have: the product of what its labels allow."""

_METRIC = re.compile(r"[a-z_][a-z0-9_]*")
_LABEL = re.compile(r"(?!__)[a-z_][a-z0-9_]*")
_RESERVED_LABELS = {"value", "le", "quantile", "job", "instance"}
_REFERENCE = "docs/reference/business-queries.md"


def _metric(name: str) -> str:
    if not _METRIC.fullmatch(name):
        raise ValueError("not a metric name; write letters, digits and _, such as shop_orders")
    if name.endswith("_total"):
        raise ValueError("leave out _total; a counter gets it by itself")
    return name


def _label(name: str) -> str:
    if not _LABEL.fullmatch(name) or name in _RESERVED_LABELS:
        raise ValueError("not a label's name; write letters, digits and _, such as provider")
    return name


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("empty; write a text")
    return value.strip().rstrip(";")


class Maximum(Section):
    """A label whose values are not known beforehand: so many of them, first come first kept."""

    maximum: int = Field(gt=0, le=200)


def _kind(value: object) -> str:
    return "(maximum)" if isinstance(value, dict | Maximum) else "(list)"


Values = Annotated[
    Annotated[tuple[str, ...], Field(min_length=1), Tag("(list)")]
    | Annotated[Maximum, Tag("(maximum)")],
    Discriminator(_kind),
]


class BusinessQuery(Section):
    """One metric: the column `value` is the number, the other columns are the labels."""

    name: Annotated[str, AfterValidator(_metric)]
    help: Annotated[str, AfterValidator(_text)]
    type: Literal["gauge", "counter"]
    labels: dict[Annotated[str, AfterValidator(_label)], Values] = {}
    default: float | None = None
    """Value of declared label values that no row brings; a counter's is 0."""
    timeout: Duration = 0.5
    """Longest run, kept by the server."""
    interval: Duration | None = None
    """How often it runs, beside the scrapes; none: at each scrape."""
    sql: Annotated[str, AfterValidator(_text)]

    @property
    def stale_after_s(self) -> float:
        """Return the age in seconds at which a kept result is dropped: one run may fail."""
        return 2 * (self.interval or 0.0) + self.timeout

    @model_validator(mode="after")
    def _series_are_bounded(self) -> Self:
        sizes = [v.maximum if isinstance(v, Maximum) else len(v) for v in self.labels.values()]
        if math.prod(sizes) > MAXIMUM_SERIES:
            raise ValueError(
                f"its labels allow {math.prod(sizes)} series; allow {MAXIMUM_SERIES} at most"
            )
        if self.default is not None and any(isinstance(v, Maximum) for v in self.labels.values()):
            raise ValueError("`default` needs labels with a list of values, such as [alpha, beta]")
        return self


class QueryFile(Section):
    """The file's only key."""

    queries: tuple[BusinessQuery, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [query.name for query in self.queries]
        if not names:
            raise ValueError("there are no queries; leave out monitors.business instead")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two queries are named {min(twice)!r}; give each its own name")
        return self


def load_queries(file: Path) -> tuple[BusinessQuery, ...]:
    """Return the queries of a file.

    Raises:
        ValueError: one line per mistake: file, key path, what is wrong, what is right.
    """
    try:
        raw = yaml.load(file.read_text(), StrictLoader)  # noqa: S506 - a SafeLoader
        return QueryFile.model_validate(raw).queries
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(f"{file}: {reason}; write the path of a query file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{file}: line {line}: {error.problem}") from None
    except ValidationError as error:
        raise ValueError("\n".join(f"{file}: {line}" for line in _lines(error))) from None


def _lines(error: ValidationError) -> list[str]:
    """Return a mistake per line; what kind of values a label has is no place in the file."""
    lines = []
    for detail in error.errors():
        parts = [p for p in detail["loc"] if p not in ("(list)", "(maximum)")]
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts).lstrip(".")
        if detail["type"] == "extra_forbidden":
            message = f"unknown key; see {_REFERENCE} for the valid ones"
        elif detail["type"] == "missing":
            message = "missing; this key is required"
        else:
            message = detail["msg"].removeprefix("Value error, ")
        lines.append(f"{where or 'the file'}: {message}")
    return lines
