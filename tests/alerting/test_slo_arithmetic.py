"""What the recording rules compute, by Prometheus' own evaluation, beside what Sloth's do."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from rule_evaluation import Evaluation, groups_of

ID = 'sloth_id="shop-availability"'
GOOD = 'storewatch_edge_requests_total{route="/",method="GET",status="200"}'
BAD = 'storewatch_edge_requests_total{route="/",method="GET",status="503"}'
_BAD_RATE = 'sum(rate(storewatch_edge_requests_total{status=~"5.."}[5m]))'
_RATE = "sum(rate(storewatch_edge_requests_total[5m]))"
SLOTH: list[dict[str, Any]] = [
    {
        # What `sloth generate` makes of the same file, the records that matter here.
        "name": "sloth",
        "rules": [
            {"record": "sloth:ratio_rate5m", "expr": f"{_BAD_RATE} / {_RATE}"},
            {
                "record": "sloth:ratio_rate30d",
                "expr": "sum_over_time(sloth:ratio_rate5m[30d])"
                " / count_over_time(sloth:ratio_rate5m[30d])",
            },
            {"record": "sloth:remaining", "expr": "1 - sloth:ratio_rate30d / 0.001"},
        ],
    }
]
REMAINING = f"slo:period_error_budget_remaining:ratio{{{ID}}}"


def shipped(promtool: Path, folder: Path, series: dict[str, str]) -> Evaluation:
    """Evaluate the shipped availability SLO beside Sloth's rules for it."""
    own = [group for group in groups_of() if group["name"].endswith("-availability")]
    return Evaluation(promtool, folder, [*own, *SLOTH], series)


def ratio(window: str) -> str:
    return f"slo:sli_error:ratio_rate{window}{{{ID}}}"


def test_sixty_failures_in_two_million_requests_are_a_small_share_of_a_budget(
    promtool: Path, tmp_path: Path
) -> None:
    # 100 minutes of 18 000 requests, then 20 minutes of 3, all of which fail.
    series = {GOOD: "0+18000x100 1800000x20 1800000+1x10", BAD: "0x100 0+3x20 60x10"}
    with shipped(promtool, tmp_path, series) as found:
        found.value("2h", "sloth:ratio_rate30d", 0.13)
        found.value("128m", ratio("30d"), 60 / 1_800_060)
        found.value("128m", REMAINING, 1 - 60 / 1_800_060 / 0.001)


def test_a_long_window_weighs_a_quiet_hour_by_its_requests(promtool: Path, tmp_path: Path) -> None:
    # One hour of 10 000 good requests a minute, then one of 10 a minute that all fail.
    series = {GOOD: "0+10000x60 600000x70", BAD: "0x60 0+10x70"}
    with shipped(promtool, tmp_path, series) as found:
        found.value("122m", ratio("2h"), 600 / 590_600)


def test_a_quiet_hour_leaves_numbers_behind(promtool: Path, tmp_path: Path) -> None:
    # Half an hour in which nothing happens, then business as usual with one failure in 10 000.
    good, bad = "0+1000x60 60000x30 60000+9999x60", "0x60 0x30 0+1x60"
    with shipped(promtool, tmp_path, {GOOD: good, BAD: bad}) as found:
        found.not_a_number("80m", "sloth:ratio_rate5m")
        found.not_a_number("140m", "sloth:remaining")
        for window in ("5m", "30m"):
            found.value("89m", ratio(window), 0)
        found.value("140m", REMAINING, 1 - 50 / 560_000 / 0.001)


def test_a_budget_is_there_before_the_first_error_has_a_series(
    promtool: Path, tmp_path: Path
) -> None:
    with shipped(promtool, tmp_path, {GOOD: "0+10x200"}) as found:
        found.nothing("2m", "sloth:remaining")
        found.nothing("3h", "sloth:remaining")
        for window in ("5m", "1h", "2h", "30d"):
            found.value("2m", ratio(window), 0)
        found.value("2m", REMAINING, 1)


def test_the_remaining_budget_is_what_was_not_spent(promtool: Path, tmp_path: Path) -> None:
    series = {GOOD: "0+9995x300", BAD: "0+5x300"}  # half of the 0.1 % that may fail
    with shipped(promtool, tmp_path, series) as found:
        found.value("4h", REMAINING, 0.5)
        found.value("4h", f"slo:period_bad_events:count{{{ID}}}", 5 * 240)
        found.value("4h", f"slo:period_events:count{{{ID}}}", 10_000 * 240)


def test_the_current_burn_rate_is_the_ratio_by_the_budget(promtool: Path, tmp_path: Path) -> None:
    series = {GOOD: "0+980x60", BAD: "0+20x60"}
    with shipped(promtool, tmp_path, series) as found:
        found.value("30m", f"slo:current_burn_rate:ratio{{{ID}}}", 20)


def test_a_restarted_service_is_no_jump(promtool: Path, tmp_path: Path) -> None:
    # The counter falls to 0 in the middle: rates are taken before they are added.
    series = {GOOD: "0+999x60 0+999x60", BAD: "0+1x60 0+1x60"}
    with shipped(promtool, tmp_path, series) as found:
        found.value("2h", ratio("1h"), 0.001)


# Indicators that are no counters, each written down as its users would.

INDICATORS: dict[str, tuple[dict[str, Any], dict[str, str], float]] = {
    "a raw ratio over the window": (
        {
            "rawType": "failure",
            "raw": "sum(rate(bad_total[{{.window}}])) / sum(rate(all_total[{{.window}}]))",
        },
        {"bad_total": "0+1x200", "all_total": "0+50x200"},
        0.02,
    ),
    "a raw ratio of successes, recorded by somebody": (
        {"rawType": "success", "raw": "app:success:ratio"},
        {"app:success:ratio": "0.98x200"},
        0.02,
    ),
    "good and all, of counters": (
        {"counter": True, "good": 'all_total{code="200"}', "total": "sum(all_total)"},
        {'all_total{code="200"}': "0+49x200", 'all_total{code="500"}': "0+1x200"},
        0.02,
    ),
    "good and all, while nothing is good": (
        {"counter": True, "good": 'all_total{code="200"}', "total": "sum(all_total)"},
        {'all_total{code="500"}': "0+1x200"},
        1,
    ),
    "bad and all, while nothing is bad": (
        {"counter": True, "bad": 'all_total{code="500"}', "total": "all_total"},
        {'all_total{code="200"}': "0+49x200"},
        0,
    ),
    "bad and all, as rates of this moment": (
        {"counter": False, "bad": "app:bad:rate", "total": "app:all:rate"},
        {"app:bad:rate": "2x200", "app:all:rate": "100x200"},
        0.02,
    ),
}


def openslo(folder: Path, indicator: dict[str, Any], **objective: Any) -> Path:
    """Write an OpenSLO file with one objective of 99 % over 28 days."""
    path = folder / "openslo.yaml"
    document = {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "answers"},
        "spec": {
            "service": "app",
            "indicator": {"spec": indicator},
            "timeWindow": [{"duration": "28d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": 0.99, **objective}],
        },
    }
    path.write_text(yaml.safe_dump(document))
    return path


def source(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


@pytest.mark.parametrize("name", INDICATORS)
def test_an_indicator_has_the_same_ratio_over_every_window(
    promtool: Path, tmp_path: Path, name: str
) -> None:
    metric, series, expected = INDICATORS[name]
    queries = ("good", "bad", "total", "raw")
    indicator = {key: source(v) if key in queries else v for key, v in metric.items()}
    file = openslo(tmp_path, {"ratioMetric": indicator})
    with Evaluation(promtool, tmp_path, groups_of(file), series) as found:
        for window in ("5m", "1h", "2h", "3d", "4w"):
            found.value("3h", f"slo:sli_error:ratio_rate{window}", expected)
        found.value("3h", "slo:period_error_budget_remaining:ratio", 1 - expected / 0.01)


def test_a_raw_ratio_of_nothing_is_zero_and_weighs_nothing(promtool: Path, tmp_path: Path) -> None:
    query = "sum(rate(bad_total[{{.window}}])) / sum(rate(all_total[{{.window}}]))"
    file = openslo(tmp_path, {"ratioMetric": {"rawType": "failure", "raw": source(query)}})
    series = {"bad_total": "0+1x60 60x60 60+1x60", "all_total": "0+50x60 3000x60 3000+50x60"}
    with Evaluation(promtool, tmp_path, groups_of(file), series) as found:
        found.value("115m", "slo:sli_error:ratio_rate5m", 0)
        found.value("3h", "slo:sli_error:ratio_rate4w", 0.02)


def test_a_threshold_is_broken_for_the_share_of_the_moments_in_which_it_is(
    promtool: Path, tmp_path: Path
) -> None:
    indicator = {"thresholdMetric": source("wait_seconds / waiting")}
    file = openslo(tmp_path, indicator, op="lte", value=100)
    with Evaluation(
        promtool,
        tmp_path,
        groups_of(file),
        {"wait_seconds": "100x89 101x9 0x60 100x20", "waiting": "1x89 1x9 0x60 1x20"},
    ) as found:
        found.value("95m", "slo:sli_error:ratio_rate5m", 1)
        found.value("98m", "slo:sli_error:ratio_rate4w", 0.09)
        found.value("130m", "slo:sli_error:ratio_rate5m", 0)
        found.value("150m", "slo:sli_error:ratio_rate4w", 0.1)


def test_a_histogram_counts_what_took_longer_than_its_bucket(
    promtool: Path, tmp_path: Path
) -> None:
    indicator = {"thresholdMetric": source('took_seconds_bucket{job="app"}')}
    series = {
        'took_seconds_count{job="app"}': "0+100x200",
        'took_seconds_bucket{job="app",le="1"}': "0+50x200",
        'took_seconds_bucket{job="app",le="2.0"}': "0+97x200",
    }
    file = openslo(tmp_path, indicator, op="lte", value=2)  # however the client writes it
    with Evaluation(promtool, tmp_path, groups_of(file), series) as found:
        for window in ("5m", "1h", "4w"):
            found.value("3h", f"slo:sli_error:ratio_rate{window}", 0.03)


def test_a_bucket_that_does_not_exist_is_no_data_and_not_a_fast_shop(
    promtool: Path, tmp_path: Path
) -> None:
    indicator = {"thresholdMetric": source('took_seconds_bucket{job="app"}')}
    series = {
        'took_seconds_count{job="app"}': "0+100x200",
        'took_seconds_bucket{job="app",le="1"}': "0+50x200",
    }
    file = openslo(tmp_path, indicator, op="lte", value=0.3)
    with Evaluation(promtool, tmp_path, groups_of(file), series) as found:
        for window in ("5m", "1h", "4w"):
            found.nothing("3h", f"slo:sli_error:ratio_rate{window}")
        found.fires("3h", "SliMissing", {"sign": "gone"})
