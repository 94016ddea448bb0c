"""The real blackbox_exporter and ours, on the same faults, with the same module file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fault_server import Faults
from probe_cases import CASES, COMPARED, DIFFERENCES
from probing import Samples, ask, blackbox_exporter, exporter, write_modules

from monitors.probes.modules import load_modules
from storewatch.tools import find_program


def name_of(case: str) -> str:
    return re.sub(r"\W+", "_", case)


@pytest.fixture(scope="module")
def modules(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One module for each case, in a file that both read."""
    folder = tmp_path_factory.mktemp("differential")
    return write_modules(folder, faults, {name_of(n): c.module for n, c in CASES.items()})


@pytest.fixture(scope="module")
def theirs(modules: Path) -> Iterator[str]:
    """blackbox_exporter's address."""
    with blackbox_exporter(modules) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def ours(modules: Path) -> Iterator[str]:
    with exporter(modules) as address:
        yield address


def asked(exporter: str, target: str, case: str) -> Samples:
    hostname = CASES[case].hostname
    named = {"hostname": hostname} if hostname else {}
    return ask(exporter, None, target=target, module=name_of(case), **named).samples


@pytest.mark.parametrize("case", CASES)
def test_ours_and_blackbox_exporter_come_to_the_same(
    faults: Faults, ours: str, theirs: str, case: str
) -> None:
    target = faults.fill(CASES[case].target)
    wanted, found = asked(theirs, target, case), asked(ours, target, case)
    differing = {
        metric: (wanted.get(metric), found.get(metric))
        for metric in COMPARED
        if wanted.get(metric) != found.get(metric)
    }
    listed = {metric for of, metric in DIFFERENCES if of == case}
    assert set(differing) == listed, differing
    missing = {without_labels(name) for name in wanted} - {without_labels(n) for n in found}
    assert missing <= listed, "metrics that blackbox_exporter has and ours does not"


def without_labels(name: str) -> str:
    return name.partition("{")[0]


def test_there_are_enough_cases_and_half_of_them_fail(faults: Faults, theirs: str) -> None:
    verdicts = [
        asked(theirs, faults.fill(case.target), name)["probe_success"]
        for name, case in CASES.items()
        if name not in ("a server that drips", "a server that hangs")
    ]
    assert len(CASES) >= 40
    assert 0.3 < sum(verdicts) / len(verdicts) < 0.7


def test_phases_add_up_and_are_those_of_blackbox_exporter(
    faults: Faults, ours: str, theirs: str
) -> None:
    phase = re.compile(r'probe_http_duration_seconds\{phase="(\w+)"\}')
    for case in ("TLS", "two redirects", "nobody there"):
        target = faults.fill(CASES[case].target)
        pages = [asked(address, target, case) for address in (theirs, ours)]
        phases = [{m[1] for name in page if (m := phase.match(name))} for page in pages]
        assert phases[0] == phases[1]
        total = sum(number for name, number in pages[1].items() if phase.match(name))
        assert total <= pages[1]["probe_duration_seconds"] + 0.001


def test_every_module_that_blackbox_exporter_ships_is_read(tmp_path: Path) -> None:
    example = find_program("blackbox_exporter").parents[2] / "etc" / "prometheus" / "blackbox.yml"
    raw = yaml.safe_load(example.read_text())
    raw["modules"] = {n: m for n, m in raw["modules"].items() if m["prober"] != "grpc"}
    file = tmp_path / "blackbox.yml"
    file.write_text(yaml.safe_dump(raw))
    assert set(raw["modules"]) <= set(load_modules(file))
