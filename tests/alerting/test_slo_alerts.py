"""When somebody is told of a service level, by Prometheus' own evaluation."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from rule_evaluation import Evaluation, groups_of

GONE = {"sign": "gone", "severity": "ticket"}
NEVER = {"sign": "never", "severity": "ticket"}
PAGE, TICKET = {"severity": "page"}, {"severity": "ticket"}


def sloth(folder: Path, name: str = "answers", **sli: Any) -> Path:
    """Write a Sloth file with one objective of 99.9 %."""
    queries = {
        "error_query": 'sum(rate(all_total{code="500"}[{{.window}}]))',
        "total_query": "sum(rate(all_total[{{.window}}]))",
    }
    slo = {"name": name, "objective": 99.9, "sli": sli or {"events": queries}}
    path = folder / f"{name}.yaml"
    document = {"version": "prometheus/v1", "service": "app", "slos": [slo]}
    path.write_text(yaml.safe_dump(document))
    return path


def counters(good: str, bad: str) -> dict[str, str]:
    return {'all_total{code="200"}': good, 'all_total{code="500"}': bad}


@pytest.fixture
def groups(tmp_path: Path) -> list[dict[str, Any]]:
    return groups_of(sloth(tmp_path))


def test_an_indicator_that_disappears_under_load_is_told(
    promtool: Path, tmp_path: Path, groups: list[dict[str, Any]]
) -> None:
    series = counters("0+600x60 stale", "0+1x60 stale")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        found.fires("70m", "SliMissing")
        found.fires("90m", "SliMissing", GONE)
        found.fires("10h", "SliMissing", GONE)


@pytest.mark.parametrize(("minutes", "told"), [(1, [GONE]), (3, [])])
def test_an_indicator_of_one_event_a_minute_is_missed_and_one_of_fewer_is_not(
    promtool: Path,
    tmp_path: Path,
    groups: list[dict[str, Any]],
    minutes: int,
    told: list[dict[str, str]],
) -> None:
    # In the five minutes after its end the rate falls to a fifth before it is gone.
    counted = " ".join(f"{n}x{minutes - 1}" for n in range(60))
    with Evaluation(promtool, tmp_path, groups, counters(f"{counted} stale", "_x60")) as found:
        found.fires("5h", "SliMissing", *told)


def test_a_service_that_is_deployed_or_restarted_is_nobodys_alarm(
    promtool: Path, tmp_path: Path, groups: list[dict[str, Any]]
) -> None:
    # Rules are there before the service; then it is replaced, with ten minutes without any series.
    series = counters("_x30 0+600x60 stale _x9 0+600x200", "_x300")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        for minute in (25, 95, 100, 105, 115, 290):
            found.fires(f"{minute}m", "SliMissing")


def test_an_idle_service_is_nobodys_alarm(
    promtool: Path, tmp_path: Path, groups: list[dict[str, Any]]
) -> None:
    # Busy, then idle for hours; restarted while idle: no series until somebody comes.
    series = counters("0+600x60 36000x180 stale _x300 0+600x60", "_x600")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        for minute in (120, 230, 280, 500, 545, 600):
            found.fires(f"{minute}m", "SliMissing")


def test_an_objective_that_never_had_data_is_told_after_a_day(
    promtool: Path, tmp_path: Path, groups: list[dict[str, Any]]
) -> None:
    with Evaluation(promtool, tmp_path, groups, {"something_else": "1x3000"}) as found:
        found.fires("23h", "SliMissing")
        found.fires("25h", "SliMissing", NEVER)


def test_a_raw_ratio_that_disappears_is_told(promtool: Path, tmp_path: Path) -> None:
    file = sloth(tmp_path, raw={"error_ratio_query": "avg_over_time(app_ratio[{{.window}}])"})
    series = {"app_ratio": "0.0001x60 stale"}
    with Evaluation(promtool, tmp_path, groups_of(file), series) as found:
        found.fires("50m", "SliMissing")
        found.fires("90m", "SliMissing", GONE)


def test_few_bad_events_never_page_however_large_their_share(
    promtool: Path, tmp_path: Path, groups: list[dict[str, Any]]
) -> None:
    # Night: a request every ten minutes, all fail. 9 in the hour, then 10.
    failing = " ".join(f"{n}x9" for n in range(7))
    with Evaluation(promtool, tmp_path, groups, counters("100x200", failing)) as found:
        found.value("65m", "slo:sli_error:ratio_rate1h", 1)
        found.fires("65m", "SloBudgetBurn")
    failing = " ".join(f"{2 * n}x9" for n in range(7))
    with Evaluation(promtool, tmp_path, groups, counters("100x200", failing)) as found:
        found.fires("65m", "SloBudgetBurn", PAGE)


@pytest.mark.parametrize(
    ("days", "bad", "severities"),
    [(30, 15, []), (30, 31, [TICKET]), (7, 13, []), (7, 15, [TICKET])],
)
def test_windows_follow_the_period(
    promtool: Path, tmp_path: Path, days: int, bad: int, severities: list[dict[str, str]]
) -> None:
    # Of 10 000 a minute, for three hours. The factor of 1 d and 2 h is 3 for 30 days, 1.4 for 7.
    series = counters(f"0+{10_000 - bad}x180", f"0+{bad}x180")
    groups = groups_of(sloth(tmp_path), slo_period=f"{days}d")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        found.fires("3h", "SloBudgetBurn", *severities)


def test_several_periods_in_one_run(promtool: Path, tmp_path: Path) -> None:
    files = [str(sloth(tmp_path, name)) for name in ("week", "month")]
    groups = groups_of(slos=files, slo_periods={"app-week": "7d"})
    with Evaluation(promtool, tmp_path, groups, counters("0+99x60", "0+1x60")) as found:
        found.value("1h", 'slo:sli_error:ratio_rate1w{sloth_slo="week"}', 0.01)
        found.value("1h", 'slo:sli_error:ratio_rate30d{sloth_slo="month"}', 0.01)
        found.value("1h", 'slo:time_period:days{sloth_slo="week"}', 7)
        found.nothing("1h", 'slo:sli_error:ratio_rate30d{sloth_slo="week"}')


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (4, []),
        (6, [("ErrorBudgetSpent", {"spent": "50", "severity": "ticket"})]),
        (8, [("ErrorBudgetSpent", {"spent": "75", "severity": "ticket"})]),
        (11, [("ErrorBudgetExhausted", {"spent": "100", "severity": "ticket"})]),
    ],
)
def test_what_is_spent_of_a_budget_is_told_by_the_policys_level(
    promtool: Path,
    tmp_path: Path,
    groups: list[dict[str, Any]],
    bad: int,
    told: list[tuple[str, dict[str, str]]],
) -> None:
    series = counters(f"0+{10_000 - bad}x90", f"0+{bad}x90")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        for alert in ("ErrorBudgetSpent", "ErrorBudgetExhausted"):
            found.fires("1h", alert, *(labels for name, labels in told if name == alert))


def test_a_handful_of_bad_events_spends_no_budget(
    promtool: Path, tmp_path: Path, groups: list[dict[str, Any]]
) -> None:
    with Evaluation(promtool, tmp_path, groups, counters("0+1x90", "0x10 9x80")) as found:
        found.value("1h", "slo:period_error_budget_remaining:ratio < bool 0", 1)
        found.fires("1h", "ErrorBudgetExhausted")


def test_the_policy_is_the_settings(promtool: Path, tmp_path: Path) -> None:
    policy = [
        {"spent": 0.2, "action": "look", "severity": None},
        {"spent": 0.4, "action": "stop", "severity": "page", "freeze": True},
    ]
    groups = groups_of(sloth(tmp_path), error_budget_policy=policy)
    series = counters("0+9995x90", "0+5x90")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        found.fires("1h", "ErrorBudgetExhausted", {"spent": "40", "severity": "page"})
        found.fires("1h", "ErrorBudgetSpent")


# Prometheus' time 0 is a Thursday, 00:00 UTC: the window is 01:00 to 02:00.
NIGHT = {"name": "night", "weekdays": ["thursday"], "times": ["01:00-02:00"]}
DURING = counters("0+1000x59 59000x59 59000+1000x120", "0x60 0+1000x57 57000x120")


def test_maintenance_spends_no_budget_and_pages_nobody_afterwards(
    promtool: Path, tmp_path: Path
) -> None:
    file = sloth(tmp_path)
    with Evaluation(promtool, tmp_path, groups_of(file, maintenance=[NIGHT]), DURING) as found:
        found.value("90m", "slo:sli_error:ratio_rate5m", 1)  # what is seen is told as it is
        for minute in (70, 90, 125, 140, 170):
            found.fires(f"{minute}m", "SloBudgetBurn")
        for window in ("30m", "1h", "2h", "30d"):
            found.value("125m", f"slo:sli_error:ratio_rate{window}", 0)
        found.value("3h", "slo:period_error_budget_remaining:ratio", 1)
        found.fires("3h", "ErrorBudgetExhausted")
    with Evaluation(promtool, tmp_path, groups_of(file), DURING) as found:
        found.fires("125m", "SloBudgetBurn", PAGE, TICKET)
        found.value("3h", "slo:period_error_budget_remaining:ratio < bool 0", 1)


def test_a_fault_after_maintenance_pages_as_soon_as_any_other(
    promtool: Path, tmp_path: Path
) -> None:
    series = counters("0+1000x123 123000x60", "0x123 0+1000x60")
    for maintenance in ([NIGHT], []):
        groups = groups_of(sloth(tmp_path), maintenance=maintenance)
        with Evaluation(promtool, tmp_path, groups, series) as found:
            found.fires("123m", "SloBudgetBurn")
            found.fires("126m", "SloBudgetBurn", PAGE, TICKET)


@pytest.mark.parametrize(
    ("change", "remaining"),
    [
        ({"matchers": ['sloth_slo="answers"']}, 1),
        ({"matchers": ['sloth_service=~"a.*"', 'sloth_slo!="other"']}, 1),
        ({"matchers": ['sloth_slo="other"']}, None),
        ({"matchers": ['node="db-a"']}, None),
        ({"budget": False}, None),
    ],
)
def test_a_window_leaves_alone_what_its_matchers_do_not_meet(
    promtool: Path, tmp_path: Path, change: dict[str, Any], remaining: float | None
) -> None:
    groups = groups_of(sloth(tmp_path), maintenance=[{**NIGHT, **change}])
    with Evaluation(promtool, tmp_path, groups, DURING) as found:
        query = "slo:period_error_budget_remaining:ratio"
        if remaining is None:
            found.value("3h", f"{query} < bool 0", 1)
        else:
            found.value("3h", query, remaining)


def test_an_indicator_that_did_not_come_back_from_maintenance_is_told(
    promtool: Path, tmp_path: Path
) -> None:
    groups = groups_of(sloth(tmp_path), maintenance=[NIGHT])
    series = counters("0+1000x70 stale", "_x10")
    with Evaluation(promtool, tmp_path, groups, series) as found:
        found.fires("2h30m", "SliMissing", GONE)
