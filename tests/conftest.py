"""What every test has: a state folder that goes with pytest's own, and a machine or half of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ALONE = {"loadtests", "scenarios"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what tests/all.sh runs by itself."""
    for item in items:
        if item.path.relative_to(_HERE).parts[0] in _ALONE:
            item.add_marker("alone")


@pytest.fixture(scope="session", autouse=True)
def state_folder_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep root's runs, whose folders the engines' user cannot enter, from leaving some behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOREWATCH_HOME", str(tmp_path_factory.mktemp("home")))
        yield
