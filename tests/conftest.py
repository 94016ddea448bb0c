"""What every test has: a state folder that goes away with pytest's own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def state_folder_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep root's runs, whose folders the engines' user cannot enter, from leaving some behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOREWATCH_HOME", str(tmp_path_factory.mktemp("home")))
        yield
