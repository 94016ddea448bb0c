"""The small shop, and settings that load it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from load_shop import SmallShop

from loadtests.run import RunningLoad, start_load
from loadtests.settings import LoadSettings, ProfileSettings


@pytest.fixture(autouse=True)
def _generators_find_the_journeys(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent)
    others = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{here}{os.pathsep}{others}" if others else here)


@pytest.fixture
def shop() -> Iterator[SmallShop]:
    with SmallShop().serving() as found:
        yield found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningLoad]]:
    """Start loads that do not outlive the test."""
    running: list[RunningLoad] = []

    def begin(settings: LoadSettings, journey: str, wanted: ProfileSettings) -> RunningLoad:
        folder = tmp_path / f"load-{len(running)}"
        folder.mkdir()
        load = start_load(settings, journey, wanted, folder, lambda _line: None)
        running.append(load)
        return load

    yield begin
    for load in running:
        load.kill()
