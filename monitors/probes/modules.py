"""Module files: blackbox_exporter's YAML, read strictly, and the modules that are built in."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from monitors.probes.format import Module

SHIPPED_FILE = Path(__file__).parent / "modules.yaml"
_REFERENCE = "docs/reference/probes.md"

UNSUPPORTED = {
    "grpc": "there is no grpc prober",
    "oauth2": "give a token in bearer_token_file",
    "proxy_url": "probes go to the target itself",
    "no_proxy": "probes go to the target itself",
    "proxy_from_environment": "probes go to the target itself",
    "proxy_connect_header": "probes go to the target itself",
    "skip_resolve_phase_with_proxy": "probes go to the target itself",
    "fail_if_body_json_matches_cel": "use fail_if_body_matches_regexp",
    "fail_if_body_json_not_matches_cel": "use fail_if_body_not_matches_regexp",
    "labels": "matched text is no bounded set of labels",
}
"""Keys that blackbox_exporter knows and this exporter refuses, with what to do instead."""

_SECRETS = {"password", "credentials", "bearer_token"}
_SECRET_HEADERS = ("auth", "cookie", "token", "key", "secret", "pass")

_FORMS = {
    "missing": "missing; this key is required",
    "tuple_type": "not a list; write its entries in brackets, such as [200, 204]",
    "dict_type": "not a mapping; write key: value",
    "model_type": "not a mapping; write key: value",
}
"""Kinds of mistakes that pydantic tells in Python's words."""


@dataclass(frozen=True, slots=True)
class NamedModule:
    """A module with its name and its text as YAML, without secrets."""

    name: str
    settings: Module
    text: str


def for_hostname(module: NamedModule, hostname: str) -> NamedModule:
    """Return the module as it asks for a virtual host at whatever address the target has.

    HTTP gets it as its Host header, and so as the name in the certificate; TCP as the name in the
    certificate, unless the module has one. Source: blackbox_exporter's parameter `hostname`.

    Raises:
        ValueError: the module has another Host header.
    """
    http, tcp = module.settings.http, module.settings.tcp
    hosts = {value for name, value in http.headers.items() if name.lower() == "host"}
    if module.settings.prober == "http" and hosts - {hostname}:
        raise ValueError(
            f"hostname is {hostname!r}, and the module {module.name!r} has the Host header "
            f"{min(hosts)!r}; give it in one place"
        )
    headers = {name: value for name, value in http.headers.items() if name.lower() != "host"}
    tls = tcp.tls_config.model_copy(update={"server_name": tcp.tls_config.server_name or hostname})
    settings = module.settings.model_copy(
        update={
            "http": http.model_copy(update={"headers": {**headers, "Host": hostname}}),
            "tcp": tcp.model_copy(update={"tls_config": tls}),
        }
    )
    return NamedModule(f"{module.name} for {hostname}", settings, module.text)


def load_modules(file: Path | None) -> dict[str, NamedModule]:
    """Return the built-in modules and those of a file, which replace them by name.

    Raises:
        ValueError: in one line, each mistake with file, key path and what is wrong.
    """
    modules = _read(SHIPPED_FILE)
    return modules if file is None else {**modules, **_read(file)}


def _read(file: Path) -> dict[str, NamedModule]:
    try:
        raw = yaml.load(file.read_text(), _StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; write the path of a module file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(f"{file}: not YAML: {reason}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("modules"), dict):
        raise ValueError(  # noqa: TRY004 - a user's mistake
            f"{file}: modules: missing; a module file begins with `modules:`"
        )
    mistakes = [f"{file}: {key}: unknown key; see {_REFERENCE}" for key in raw if key != "modules"]
    modules = {}
    for name, entry in raw["modules"].items():
        try:
            settings = Module.model_validate(_without_nulls(entry))
        except ValidationError as error:
            mistakes += [f"{file}: modules.{name}{line}" for line in _lines(error)]
            continue
        text = yaml.safe_dump(_without_secrets(entry), sort_keys=False)
        modules[str(name)] = NamedModule(str(name), settings, text)
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return modules


def _lines(error: ValidationError) -> Iterator[str]:
    for detail in error.errors():
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in detail["loc"])
        key = str(detail["loc"][-1]) if detail["loc"] else ""
        message = _FORMS.get(detail["type"], detail["msg"])
        if detail["type"] == "extra_forbidden" or (key == "prober" and detail["input"] == "grpc"):
            asked = "grpc" if key == "prober" else key
            message = f"unknown key; see {_REFERENCE} for the valid ones"
            if asked in UNSUPPORTED:
                message = f"not supported: {UNSUPPORTED[asked]}; see {_REFERENCE}"
        yield f"{where}: {message.removeprefix('Value error, ')}"


def is_telling(header: str) -> bool:
    """Return whether a header may carry a secret, by its name."""
    return any(word in header.lower() for word in _SECRET_HEADERS)


def _without_nulls(node: Any) -> Any:
    """Return a module without the keys that have no value: `http:` alone means its defaults."""
    if isinstance(node, dict):
        return {key: _without_nulls(value) for key, value in node.items() if value is not None}
    return node


def _without_secrets(node: Any, key: str = "") -> Any:
    """Return a module as written, passwords, tokens and telling headers masked."""
    if isinstance(node, Mapping):
        masked = {}
        for name, value in node.items():
            secret = name in _SECRETS or (key == "headers" and is_telling(str(name)))
            hidden = secret and not isinstance(value, Mapping)
            masked[name] = "<secret>" if hidden else _without_secrets(value, str(name))
        return masked
    return [_without_secrets(one, key) for one in node] if isinstance(node, list) else node


class _StrictLoader(yaml.SafeLoader):
    """YAML without duplicate keys, which PyYAML would silently let win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {key!r} is twice in the mapping at line {line}")
        return super().construct_mapping(node, deep)
