"""A house with a policy, and what a gate said of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from load_house import Answer, House
from loopback import answering, free_port

from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

LOOK = {"load": "look/short"}
DRILL = {"drill": {"within": "24h"}}
BUDGET = {"error_budget": {"slo": "all", "least": 0.1}}


@contextmanager
def budgets(left: float | None) -> Iterator[int]:
    """Answer as Prometheus does of the shipped objectives: so much of each budget is left."""
    ids = ("shop-availability", "shop-latency", "shop-checkout")
    series = [
        {
            "metric": {"__name__": "slo:period_error_budget_remaining:ratio", "sloth_id": one},
            "value": [0, str(left)],
        }
        for one in ids
        if left is not None
    ]
    with answering({"status": "success", "data": {"result": series}}) as port:
        yield port


class Gated(House):
    """A house with a policy."""

    def ask(self, url: str, *policy: dict[str, Any], prometheus: int | None = None) -> None:
        """Write the policy `pre-launch` over a shop."""
        self.configure(
            url,
            f"127.0.0.1:{prometheus or free_port()}",
            timeout="5s",
            profiles={"short": {"rate": 20, "warm_up": "500ms", "hold": "1s"}},
            targets={"p95_s": "< 0.2", "error_ratio": "= 0", "arrivals_missed": "= 0"},
            saturation={},
            policies={"pre-launch": list(policy)},
        )

    def drill(self, hours_ago: float, verdict: Verdict = Verdict.PASS) -> Evidence:
        """Leave evidence of a drill."""
        made = self.store.open("drill", "cloud").finish([], [], [verdict])
        path = self.store.folder(made) / "evidence.json"
        began = rfc3339(utc_now() - timedelta(hours=hours_ago))
        path.write_text(json.dumps({**json.loads(path.read_text()), "started_at": began}))
        return made

    def gate(self, release: str, *words: str) -> Answer:
        """Run the gate; again while this host starves the generator, which is INVALID."""
        for _ in range(5):
            answer = self.call("load", "gate", release, "--policy", "pre-launch", "--json", *words)
            if answer.code != 3 or answer.evidence["verdict"] != "INVALID":
                break
        return answer


def note_of(answer: Answer, requirement: str) -> str:
    """Return the note of a requirement."""
    (note,) = [n for n in answer.evidence["notes"] if f": {requirement}" in n]
    return str(note)
