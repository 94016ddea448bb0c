"""What deploy/ says of load tests fits the commands that there are."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from storewatch.cli.load import run, worker

MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "load-test.yaml"
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text()))


def job(name: str) -> dict[str, Any]:
    (found,) = (o for o in OBJECTS if (o["kind"], o["metadata"]["name"]) == ("Job", name))
    spec: dict[str, Any] = found["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    (found,) = job(name)["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_kubernetes_takes_every_object() -> None:
    for one in OBJECTS:
        kubernetes_validate.validate(one, "1.31", strict=True)


def test_the_leader_waits_for_as_many_workers_as_there_are_and_where_they_look_for_it() -> None:
    _, command, *words = container("load-leader")["args"]
    parsed = run.make_context(command, words).params
    _, also, leader = container("load-workers")["args"]
    found = worker.make_context(also, [leader]).params["leader"]
    assert parsed["workers"] == 0
    assert parsed["remote"] == job("load-workers")["completions"]
    assert parsed["remote"] == job("load-workers")["parallelism"]
    (service,) = (o for o in OBJECTS if o["kind"] == "Service")
    port = parsed["listen"].rpartition(":")[2]
    assert found == f"{service['metadata']['name']}:{port}"
    assert [str(p["port"]) for p in service["spec"]["ports"]] == [port]
    labels = job("load-leader")["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
