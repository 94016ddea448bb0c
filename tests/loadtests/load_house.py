"""A state folder with a configuration and load tests of the past, and the commands over it."""

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtests.plan import Plan, Share
from storewatch.cli.main import main
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

HOST = {"cpus": 2, "memory_bytes": 2 << 30}
PLAN = Plan("", (Share("look", "load_walks:look"),), "http://a", None, (), 5, 10, 5)
# p95 of five runs of a release, and of one that is a fifth slower.
QUICK = (0.1, 0.101, 0.102, 0.103, 0.104)
SLOW = (0.12, 0.121, 0.122, 0.123, 0.124)


@dataclass
class Answer:
    """What a command printed, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def evidence(self) -> dict[str, Any]:
        """The record that --json printed."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


class House:
    """The state folder `home`, which holds its configuration as well."""

    def __init__(self, home: Path) -> None:
        self.store = EvidenceStore(home)
        self.file = home / "storewatch.yaml"
        assert self.call("init").code == 0

    def configure(self, url: str, prometheus: str = "", **more: Any) -> None:
        """Write the section loadtests over a shop, and where Prometheus listens."""
        settings = yaml.safe_load(self.file.read_text())
        settings["loadtests"] = {
            "base_url": url,
            "journeys": {"look": "load_walks:look"},
            "connections": 10,
            **more,
        }
        if prometheus:
            settings["alerting"]["prometheus"] = {"listen": prometheus}
        self.file.write_text(yaml.safe_dump(settings))

    def put(
        self,
        release: str,
        *p95: float,
        subject: str = "look/baseline",
        host: Any = HOST,
        plan: Plan | None = PLAN,
        invalid: str = "",
        given_up: str = "",
        **context: str,
    ) -> list[Evidence]:
        """Leave evidence of load tests."""
        made = []
        for value in p95:
            draft = self.store.open("load", subject, {"release": release, "host": host, **context})
            if plan is not None:
                plan.write(draft.folder / "plan.json")
            values = [Measurement("p95_s", value, "s"), Measurement("error_ratio", 0.0, "ratio")]
            verdict = Verdict.INVALID if invalid else Verdict.PASS
            made.append(
                draft.finish(values, [one for one in (invalid, given_up) if one], [verdict])
            )
            while new_id()[:10] == made[-1].id[:10]:
                pass  # ids of the same millisecond are in any order
        return made

    def call(self, *words: str) -> Answer:
        """Run a command."""
        output, errors = StringIO(), StringIO()
        with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
            main(["--config", str(self.file), *words])
        return Answer(int(str(ended.value.code)), output.getvalue(), errors.getvalue())
