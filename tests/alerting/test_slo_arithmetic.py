"""What the recording rules compute, by Prometheus' own evaluation."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from alerting.rules import render_rules
from alerting.settings import AlertSettings

ID = 'sloth_id="shop-availability"'
LABELS = f'{ID}, sloth_service="shop", sloth_slo="availability"'
GOOD = 'storewatch_edge_requests_total{route="/",method="GET",status="200"}'
BAD = 'storewatch_edge_requests_total{route="/",method="GET",status="503"}'


def evaluate(
    promtool: Path, folder: Path, series: dict[str, str], at: str, query: str, value: float
) -> None:
    """Assert that a query has one value at a time, five percent to either side."""
    settings = AlertSettings.model_validate({"prometheus": {"evaluation_interval": "1m"}})
    groups = yaml.safe_load(render_rules(settings))["groups"]
    kept = [group for group in groups if group["name"].endswith("-availability")]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": kept}))
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"({query} >= bool {value * 0.95}) * ({query} <= bool {value * 1.05})",
                "eval_time": at,
                "exp_samples": [{"labels": "{" + LABELS + "}", "value": 1}],
            }
        ],
    }
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "tests.yml").write_text(yaml.safe_dump(content))
    result = subprocess.run(
        [str(promtool), "test", "rules", "tests.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def ratio(window: str) -> str:
    return f"sum without (sloth_window) (slo:sli_error:ratio_rate{window}{{{ID}}})"


def test_a_long_window_weighs_a_quiet_hour_by_its_requests(promtool: Path, tmp_path: Path) -> None:
    # One hour of 10 000 good requests a minute, then one of 10 a minute that all fail.
    series = {GOOD: "0+10000x60 600000x70", BAD: "0x60 0+10x70"}
    expected = 600 / 590_600  # a mean of ratios would say about one half
    evaluate(promtool, tmp_path, series, "122m", ratio("2h"), expected)


def test_a_ratio_is_zero_and_not_nan_while_nothing_happens(promtool: Path, tmp_path: Path) -> None:
    series = {GOOD: "7x200", BAD: "0x200"}
    for window in ("5m", "1h", "2h"):
        evaluate(promtool, tmp_path, series, "3h", ratio(window), 0)


def test_a_ratio_exists_before_the_first_error_has_a_series(promtool: Path, tmp_path: Path) -> None:
    series = {GOOD: "0+10x200"}
    evaluate(promtool, tmp_path, series, "3h", ratio("5m"), 0)
    evaluate(promtool, tmp_path, series, "3h", ratio("30d"), 0)


def test_the_remaining_budget_is_what_was_not_spent(promtool: Path, tmp_path: Path) -> None:
    series = {GOOD: "0+9995x300", BAD: "0+5x300"}  # half of the 0.1 % that may fail
    record = f"slo:period_error_budget_remaining:ratio{{{ID}}}"
    query = f"sum without (sloth_window) ({record})"
    evaluate(promtool, tmp_path, series, "4h", query, 0.5)


def test_the_current_burn_rate_is_the_ratio_by_the_budget(promtool: Path, tmp_path: Path) -> None:
    series = {GOOD: "0+980x60", BAD: "0+20x60"}
    query = f"sum without (sloth_window) (slo:current_burn_rate:ratio{{{ID}}})"
    evaluate(promtool, tmp_path, series, "30m", query, 20)
