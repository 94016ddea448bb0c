"""Prometheus' and Alertmanager's own programs, a command line, and a book of incidents."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerting_section import Command
from loopback import free_port

from alerting.incidents import IncidentBook
from storewatch.store.database import open_database
from storewatch.tools import find_program


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' checker."""
    return find_program("promtool")


@pytest.fixture(scope="session")
def amtool() -> Path:
    """Alertmanager's checker."""
    return find_program("amtool")


@pytest.fixture
def storewatch(tmp_path: Path) -> Command:
    """Run a command over a configuration whose section `alerting` is given."""

    def run(
        alerting: dict[str, Any],
        *words: str,
        chat: str = "https://slack.test/s3cret",
        **other: Any,
    ) -> subprocess.CompletedProcess[str]:
        token = "0123456789abcdef"
        ports = {"prometheus": {"listen": f"127.0.0.1:{free_port()}"}}
        content = {
            "name": "test",
            "console": {"token": token},
            "monitors": {},
            "alerting": {**ports, **alerting},
            "loadtests": {"base_url": "http://127.0.0.1:9", "journeys": {}},
            **other,
        }
        (tmp_path / "storewatch.yaml").write_text(yaml.safe_dump(content))
        home = {"STOREWATCH_HOME": str(tmp_path / "home"), "SLACK_URL": chat}
        return subprocess.run(
            [sys.executable, "-m", "storewatch.cli.main", *words],
            cwd=tmp_path,
            env={**os.environ, **home},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def book(database: str) -> IncidentBook:
    return IncidentBook(open_database(database))
