"""Prometheus' and Alertmanager's own programs, and compiled rules."""

from pathlib import Path

import pytest

from storewatch.tools import find_program


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' checker."""
    return find_program("promtool")


@pytest.fixture(scope="session")
def amtool() -> Path:
    """Alertmanager's checker."""
    return find_program("amtool")
