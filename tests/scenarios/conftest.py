"""The whole reference stack on ports of its own, so that a demo may be up beside the tests."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PORT = re.compile(r"\b18(\d{3})\b")


@dataclass(frozen=True)
class StackUnderTest:
    """A configuration like the demo's, every port moved by 10 000."""

    config: Path
    home: Path
    environment: dict[str, str]

    def run(self, *words: str, timeout_s: float = 200) -> subprocess.CompletedProcess[str]:
        """Run `storewatch` and wait for its end."""
        return subprocess.run(
            self.argv(*words),
            env=self.environment,
            cwd=self.config.parent,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `storewatch` and return its process."""
        return subprocess.Popen(
            self.argv(*words),
            env=self.environment,
            cwd=self.config.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def argv(self, *words: str) -> list[str]:
        """Return the command line of a `storewatch` command."""
        return [sys.executable, "-m", "storewatch.cli.main", "--config", str(self.config), *words]

    def json(self, *words: str) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.run(*words, "--json").stdout)


@pytest.fixture(scope="module")
def stack() -> Iterator[StackUnderTest]:
    """A stack that is not up yet; what a test leaves running is ended."""
    from storefront.settings import DEFAULT_PORTS

    with tempfile.TemporaryDirectory(prefix="storewatch-test-", dir="/var/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)
        config = home / "storewatch.yaml"
        text = _PORT.sub(r"28\1", (ROOT / "storewatch.yaml").read_text())
        assert "hold: 40s" in text
        config.write_text(text.replace("hold: 40s", "hold: 5s"))
        shutil.copy(ROOT / "probes.yaml", home)
        (home / "storefront").mkdir()
        shutil.copy(ROOT / "storefront" / "business.yaml", home / "storefront")
        ports = {
            f"SHOP_PORT_{name.upper().replace('-', '_')}": str(port + 10_000)
            for name, port in DEFAULT_PORTS.items()
        }
        environment = {
            **os.environ,
            **ports,
            "STOREWATCH_HOME": str(home / "var"),
            "SHOP_URL": "https://127.0.0.1:28443",
            "PAY_ALPHA_SWITCH": "http://127.0.0.1:28084/switch",
        }
        made = StackUnderTest(config, home / "var", environment)
        try:
            yield made
        finally:
            made.run("down")
