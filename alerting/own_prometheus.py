"""Rules and scrape jobs of one's own in the Prometheus that storewatch runs.

Their scrape jobs are written into its configuration: `scrape_config_files` came with Prometheus
2.43, and Debian 12 has 2.42. They are taken over as YAML nodes, since what is a truth value or an
octal number to PyYAML may be a text to Prometheus.
"""

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

import yaml

from alerting.receivers import HIDDEN
from storewatch.core.errors import AlertError

_JOBS = "scrape_configs"
_FORM = "write scrape_configs: [{job_name: ..., static_configs: [...]}]"
# Source: Prometheus' documentation for 2.42, "Configuration / <scrape_config>" and below: <secret>.
_SECRETS = {
    "account_key",
    "application_credential_secret",
    "application_secret",
    "bearer_token",
    "client_secret",
    "consumer_key",
    "credentials",
    "password",
    "secret_key",
    "token",
}


def own_files(key: str, patterns: Sequence[Path]) -> list[Path]:
    """Return the files that are meant, each once, in order.

    Args:
        key: where they are named, such as rule_files.
        patterns: paths, which may hold * ? and [].

    Raises:
        AlertError: a pattern meets no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        names = sorted(glob(str(pattern)))  # noqa: PTH207 - Path.glob takes no absolute pattern
        files = [path for path in map(Path, names) if path.is_file()]
        if not files:
            raise AlertError(
                f"alerting.prometheus.{key}: no file {pattern}; write a path or a pattern such as"
                " prometheus/*.yml, from the folder of storewatch.yaml"
            )
        found |= dict.fromkeys(files)
    return list(found)


def add_jobs(config: str, files: Sequence[Path], *, secrets: bool = True) -> str:
    """Return Prometheus' configuration with scrape jobs from files.

    Args:
        config: YAML with scrape_configs.
        files: each holds scrape_configs and nothing else; a relative path in it is taken from its
            folder.
        secrets: whether secrets in them are kept.

    Raises:
        AlertError: a file is no such YAML, or a job's name is taken.
    """
    root = yaml.compose(config, yaml.SafeLoader)
    ours = _child(root, _JOBS)
    assert isinstance(ours, yaml.SequenceNode)
    owners = {_name(job): "storewatch's own configuration" for job in ours.value}
    for file in files:
        for job in _jobs(file):
            name = _name(job)
            if name in owners:
                raise AlertError(
                    f"{file}: job_name {name!r} is taken by {owners[name]}; give it another name"
                )
            owners[name] = str(file)
            _settle(job, file.parent, secrets=secrets)
            ours.value.append(job)
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, width=1000, allow_unicode=True))


def _jobs(file: Path) -> Iterator[yaml.Node]:
    try:
        root = yaml.compose(file.read_text(), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise AlertError(f"{file}: cannot be read: {reason}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AlertError(f"{file}: line {line}: not YAML: {error.problem}") from None
    keys = [key.value for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    if unknown := [key for key in keys if key != _JOBS]:
        raise AlertError(f"{file}: {unknown[0]!r} does not belong there; {_FORM}")
    jobs = _child(root, _JOBS)
    if not isinstance(jobs, yaml.SequenceNode) or not all(map(_name, jobs.value)):
        raise AlertError(f"{file}: no list of scrape jobs with their names; {_FORM}")
    yield from jobs.value


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _name(job: yaml.Node) -> str:
    name = _child(job, "job_name")
    return str(name.value) if isinstance(name, yaml.ScalarNode) else ""


def _settle(node: yaml.Node, folder: Path, *, secrets: bool) -> None:
    """Make paths absolute, as Prometheus reads them in a file of their own; hide secrets.

    Source: Prometheus, config.ScrapeConfig.SetDirectory: keys that end in _file, and the files of
    file_sd_configs.
    """
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _settle(one, folder, secrets=secrets)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(value, yaml.ScalarNode):
                if str(key.value).endswith("_file") and value.value:
                    value.value = str(folder / value.value)
                elif key.value in _SECRETS and not secrets:
                    value.value = HIDDEN
            elif key.value == "files" and isinstance(value, yaml.SequenceNode):
                for one in value.value:
                    one.value = str(folder / one.value)
            else:
                _settle(value, folder, secrets=secrets)
