"""A state folder for leases, a part to switch, children that do not outlive the test."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos_site import TOKEN, TOKEN_VARIABLE, SwitchedPart

from chaos.lease import LEASE_VARIABLE, RUNNER_VARIABLE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state folder; what is left of the leases goes with the test, and the watchdogs too."""
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path))
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    monkeypatch.delenv(LEASE_VARIABLE, raising=False)
    yield tmp_path
    for lease in (tmp_path / "chaos").glob("*.json"):
        lease.unlink()


@pytest.fixture
def part() -> Iterator[SwitchedPart]:
    with SwitchedPart().serving() as found:
        yield found


Child = subprocess.Popen[str]


@pytest.fixture
def child() -> Iterator[Callable[[Child], Child]]:
    """Take a child into care."""
    children: list[Child] = []

    def care(one: Child) -> Child:
        children.append(one)
        return one

    yield care
    for one in children:
        one.kill()
        one.wait()
        for stream in (one.stdin, one.stdout):
            if stream:
                stream.close()


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """A file; that it exists is the fault."""
    return tmp_path / "fault"
