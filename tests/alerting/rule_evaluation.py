"""Rules evaluated by promtool over series that a test writes down."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from alerting.rules import compile_rules
from alerting.settings import AlertSettings

_OF_SLOS = ("sloth-", "storewatch-maintenance", "storewatch-sli", "storewatch-budget")
Series = Mapping[str, str]


def groups_of(slo_file: Path | None = None, **settings: Any) -> list[dict[str, Any]]:
    """Compile SLOs, with an evaluation a minute; those of a file, else the shipped ones."""
    wanted = {"prometheus": {"evaluation_interval": "1m"}, "slo_interval": "1m", **settings}
    if slo_file is not None:
        wanted["slos"] = [str(slo_file)]
    groups = compile_rules(AlertSettings.model_validate(wanted))["groups"]
    return [group for group in groups if group["name"].startswith(_OF_SLOS)]


def promtool_test(
    promtool: Path,
    folder: Path,
    groups: list[dict[str, Any]],
    series: Series,
    judged: dict[str, Any],
    interval: str = "1m",
) -> subprocess.CompletedProcess[str]:
    """Run one of promtool's unit tests."""
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    test = {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        **judged,
    }
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": interval,
        # Left to itself promtool takes the groups in another order each time.
        "group_eval_order": [group["name"] for group in groups],
        "tests": [test],
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(content))
    return subprocess.run(
        [str(promtool), "test", "rules", "tests.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


class Evaluation:
    """What compiled rules make of series; promtool judges it all when the block ends.

    Args:
        promtool: the program.
        folder: for its files.
        groups: the rules.
        series: in promtool's notation, a sample a minute.
    """

    def __init__(
        self, promtool: Path, folder: Path, groups: list[dict[str, Any]], series: Series
    ) -> None:
        self._run = (promtool, folder, groups, series)
        self._wanted: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            result = promtool_test(*self._run, {"promql_expr_test": self._wanted})
            assert result.returncode == 0, result.stdout + result.stderr

    def value(self, at: str, query: str, expected: float, tolerance: float = 0.05) -> None:
        """Assert that a query has one value, labels left out, within a share of it."""
        margin = abs(expected) * tolerance
        low, high = expected - margin, expected + margin
        inside = f"(sum({query}) >= bool {low!r}) * (sum({query}) <= bool {high!r})"
        self.expect(at, inside, [{"labels": "{}", "value": 1}])

    def nothing(self, at: str, query: str) -> None:
        """Assert that a query has no answer."""
        self.expect(at, query, [])

    def not_a_number(self, at: str, query: str) -> None:
        """Assert that a query has one value and that it is NaN."""
        self.expect(at, f"sum({query}) == bool sum({query})", [{"labels": "{}", "value": 0}])

    def expect(self, at: str, query: str, samples: list[dict[str, Any]]) -> None:
        """Assert what promtool finds."""
        self._wanted.append({"expr": query, "eval_time": at, "exp_samples": samples})

    def fires(self, at: str, alert: str, *wanted: dict[str, str]) -> None:
        """Assert which alerts of a name fire, by some of their labels; none without any."""
        labels = ",".join(sorted({key for one in wanted for key in one})) or "alertname"
        query = f'count by ({labels}) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
        samples = [
            {"labels": "{" + ",".join(f'{k}="{v}"' for k, v in one.items()) + "}", "value": 1}
            for one in wanted
        ]
        self.expect(at, query, samples)
