"""storewatch.yaml -> typed settings, or one line per mistake: file, key path, value, valid form."""

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from storewatch.core.errors import UsageError
from storewatch.core.names import HOME_VARIABLE
from storewatch.schema import StrictLoader
from storewatch.settings import SecretSettings, Settings
from storewatch.store.files import write_atomic
from storewatch.store.unprivileged import reachable, unprivileged_user

DEFAULT_FILE = Path("storewatch.yaml")
SECRETS_FILE = "secrets.env"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings with where they came from.

    `environment` is what processes started from this configuration get: the state folder, the
    configuration's path and the secrets. It never goes into a log.
    """

    settings: Settings
    file: Path
    home: Path
    sha256: str
    environment: dict[str, str] = field(repr=False)


def load_config(file: Path) -> Config:
    """Read a configuration.

    Raises:
        UsageError: one line per mistake.
    """
    file = file.resolve()
    _make_importable(file.parent)
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file}: {getattr(error, 'strerror', None) or 'not UTF-8 text'};"
            " `storewatch init` writes a starter file, --config names another"
        ) from error
    raw = _parse(file, text)
    home = state_folder(file)
    known = _known_values(file, raw, home)
    mistakes: list[str] = []
    resolved = _interpolate(raw, known, (), mistakes, file.name)
    if not mistakes:
        try:
            settings = Settings.model_validate(resolved, context={"folder": file.parent})
        except ValidationError as error:
            mistakes = [_line(file.name, raw, detail) for detail in error.errors()]
    if mistakes:
        raise UsageError("\n".join(dict.fromkeys(mistakes)))
    return Config(
        settings=settings,
        file=file,
        home=home,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        environment={**known, "STOREWATCH_CONFIG": str(file)},
    )


def _make_importable(folder: Path) -> None:
    """Let journeys be files beside the configuration, for us and for processes we start."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if str(folder) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([*paths, str(folder)])
        sys.path.append(str(folder))


def state_folder(file: Path) -> Path:
    """Return the state folder: $STOREWATCH_HOME, else `var` beside the configuration.

    For root, who may have checked out where the engines' unprivileged user cannot look, it is a
    folder below /var/tmp named after the configuration's path.
    """
    if configured := os.environ.get(HOME_VARIABLE):
        return Path(configured).resolve()
    beside = file.parent / "var"
    if reachable(beside, unprivileged_user()):
        return beside
    name = hashlib.sha256(str(file).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"storewatch-{name}"  # noqa: S108 - persistent, ours by 0755 and owner


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        raw = yaml.load(text, StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{file.name}: line {line}: not YAML: {error.problem}") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{file.name}: not a mapping; `storewatch init` writes a starter file")
    return raw


def _known_values(file: Path, raw: dict[str, Any], home: Path) -> dict[str, str]:
    """Return what `${NAME}` may stand for beyond the environment: the home and kept secrets."""
    try:
        wanted = SecretSettings.model_validate(raw.get("secrets") or {}).generate
    except ValidationError as error:
        lines = (_line(file.name, raw, detail, ("secrets",)) for detail in error.errors())
        raise UsageError("\n".join(lines)) from None
    path = home / SECRETS_FILE
    kept = _read_secrets(path)
    missing = [name for name in wanted if name not in kept and name not in os.environ]
    if missing:
        kept |= {name: secrets.token_hex(20) for name in missing}
        home.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name}={value}\n" for name, value in sorted(kept.items()))
        write_atomic(path, text.encode(), mode=0o600)
    kept |= {name: os.environ[name] for name in wanted if name in os.environ}
    return {HOME_VARIABLE: str(home), **kept}


def _read_secrets(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; the file must be readable by you") from error
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _interpolate(
    node: Any, known: Mapping[str, str], path: tuple[str | int, ...], mistakes: list[str], file: str
) -> Any:
    if isinstance(node, dict):
        return {k: _interpolate(v, known, (*path, k), mistakes, file) for k, v in node.items()}
    if isinstance(node, list):
        return [_interpolate(v, known, (*path, i), mistakes, file) for i, v in enumerate(node)]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        found = known.get(match[1], os.environ.get(match[1]))
        if found is None:
            mistakes.append(
                f"{file}: {key_path(path)}: {match[0]} is not set;"
                f" export {match[1]} or add it to {SECRETS_FILE} of the state folder"
            )
        return found or ""

    return _REFERENCE.sub(value, node)


def key_path(location: tuple[str | int, ...]) -> str:
    """Write a location as people do: backup.tiers[0].path."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _line(file: str, raw: Any, detail: Any, prefix: tuple[str | int, ...] = ()) -> str:
    """Return the one line that a mistake gets; the value is shown as written, without secrets."""
    location = (*prefix, *detail["loc"])
    where = key_path(location)
    if detail["type"] == "extra_forbidden":
        return f"{file}: {where}: unknown key; see docs/reference/settings.md for the valid ones"
    if detail["type"] == "missing":
        return f"{file}: {where}: missing; this key is required"
    written: Any = raw
    for part in location:
        try:
            written = written[part]
        except (KeyError, IndexError, TypeError):
            break
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(written, dict | list):
        return f"{file}: {where or 'the file'}: {message}"
    return f"{file}: {where}: {written!r}: {message}"
