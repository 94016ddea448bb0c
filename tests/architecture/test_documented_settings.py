import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo
from repository import ROOT

from storewatch.settings import Settings

PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text()
_HEADING = re.compile(r"#{2,3} (?:`([^`]+)`|The file)$")
_ROW = re.compile(r"\| `([a-z0-9_]+)` \| (.*?) \| (.*?) \|(.*)\|$")


def sections(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Return the sections inside a type, each with what its path gains: [] or .<name>."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
    elif origin is Annotated:
        yield from sections(inside[0])
    elif origin in (Union, types.UnionType):
        for one in inside:
            yield from sections(one)
    elif origin is tuple:
        for one in inside:
            yield from ((model, f"[]{rest}") for model, rest in sections(one))
    elif origin is dict:
        yield from ((model, f".<name>{rest}") for model, rest in sections(inside[1]))


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Return every key of the file that holds a value, with its field."""
    for own, field in model.model_fields.items():
        name = field.alias or own  # `continue` is no name in Python
        found = list(sections(field.annotation))
        if not found:
            yield f"{prefix}{name}", field
        for section, rest in found:
            yield from walk(section, f"{prefix}{name}{rest}.")


def documented() -> dict[str, str]:
    """Return the documented keys with their default as it is written."""
    found: dict[str, str] = {}
    prefix = None
    for line in PAGE.splitlines():
        if line.startswith("#"):
            heading = _HEADING.match(line)
            prefix = None if heading is None else f"{heading[1]}." if heading[1] else ""
        elif prefix is not None and (row := _ROW.match(line)):
            key = f"{prefix}{row[1]}"
            assert key not in found, f"{key} is documented twice"
            found[key] = row[3]
    return found


def default_of(text: str, field: FieldInfo) -> Any:
    """Return what a written default means to the field."""
    if text == "none":
        return None
    assert re.fullmatch("`.*`", text), f"{text}: write a default in backticks, none, or required"
    adapter = TypeAdapter[Any](field.rebuild_annotation())
    value = adapter.validate_python(yaml.safe_load(text.strip("`")))
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_every_key_of_the_configuration_is_documented_and_no_other() -> None:
    assert sorted(documented()) == sorted({key for key, _ in walk(Settings)})


def test_a_new_key_would_be_missed() -> None:
    class Grown(Settings):
        brightness: int = 3

    assert "brightness" in {key for key, _ in walk(Grown)} - set(documented())


@pytest.mark.parametrize(
    ("key", "field"), [pytest.param(*one, id=one[0]) for one in walk(Settings)]
)
def test_the_documented_default_is_the_real_one(key: str, field: FieldInfo) -> None:
    written = documented()[key]
    if field.is_required():
        assert written == "required"
        return
    default = field.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    expected = pytest.approx(default) if isinstance(default, float) else default
    assert default_of(written, field) == expected
