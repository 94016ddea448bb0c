"""What every section of storewatch.yaml is made of: strict, frozen models, shared values."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetPydanticSchema,
    ValidationInfo,
)
from pydantic_core import core_schema

from storewatch.core.targets import Target

try:  # libyaml's parser takes a tenth of the time; every command reads its configuration
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # a PyYAML that was built without it
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class StrictLoader(_SafeLoader):
    """YAML without duplicate keys, which PyYAML would silently let win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping.

        Raises:
            yaml.MarkedYAMLError: a key is there twice.
        """
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # refused by the base's own check
            if key in seen:
                problem = f"the key {key!r} is there twice; keep one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_duration(value: Any) -> float:
    """Return the seconds of a duration such as 250ms, 5s, 1h30m, 2d.

    Source: Prometheus' duration format, with a fraction allowed.

    Raises:
        ValueError: the value is no positive duration with a unit.
    """
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError("not a duration; write a number with its unit, such as 250ms, 5s, 1h30m")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
    if seconds <= 0:
        raise ValueError("a duration must be longer than zero, such as 5s")
    return seconds


def _parse_target(value: Any) -> Target:
    if isinstance(value, Target):
        return value
    return Target.parse(str(value))


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Take a relative path from the configuration's folder, as every process then does."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path


BesidePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path; a relative one is taken from the folder of storewatch.yaml."""

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds, written as 250ms, 5s, 1h30m. Defaults in code are floats."""

TargetField = Annotated[
    Target,
    GetPydanticSchema(
        lambda _type, _handler: core_schema.no_info_plain_validator_function(_parse_target)
    ),
]
"""A Target, written as '< 0.2'."""
