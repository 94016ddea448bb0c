from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from loopback import free_port
from pydantic import ValidationError
from running import running

from alerting.maintenance import MaintenanceSettings, maintenance_group, time_interval
from alerting.settings import AlertSettings
from storewatch.tools import find_program


def window(**changes: Any) -> MaintenanceSettings:
    given = {"name": "night", "times": ["02:00-04:00"], **changes}
    return MaintenanceSettings.model_validate(given)


WEEKEND = window(weekdays=["Saturday"], times=["22:00-03:30"], time_zone="Europe/Berlin")
WINDOWS = [
    WEEKEND,
    window(),
    window(weekdays=["sunday"], times=["02:15-02:45", "23:00-24:00"], time_zone="America/New_York"),
    window(weekdays=["sunday"], times=["01:30-02:30"], time_zone="Australia/Lord_Howe"),
    window(weekdays=["sunday"], times=["00:00-06:00"], time_zone="Asia/Kolkata"),
]
# Around each change of a clock in these zones, and a night like any other.
CHANGES = ["2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-03-08T07:00Z", "2026-11-01T06:00Z"]
CHANGES += ["2026-10-03T15:30Z", "2027-04-03T15:00Z", "2026-06-13T20:00Z", "2037-10-25T01:00Z"]
MOMENTS = [
    datetime.fromisoformat(text) + timedelta(minutes=minute)
    for text in CHANGES
    for minute in range(-360, 360, 45)
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that knows nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("{}")
    address = f"127.0.0.1:{free_port()}"
    program = find_program("prometheus")
    argv = [str(program), f"--config.file={folder / 'prometheus.yml'}"]
    argv += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with running(argv, folder / "log", f"http://{address}/-/ready"):
        yield f"http://{address}"


def active_in_prometheus(prometheus: str, one: MaintenanceSettings, moment: datetime) -> bool:
    """Evaluate the rules of a window as if it were a moment."""
    clock, active = maintenance_group((one,))[0]["rules"]
    selector = f'{clock["record"]}{{time_zone="{one.time_zone}"}}'
    query = active["expr"].replace(selector, f"({clock['expr']})")
    parameters: dict[str, Any] = {"query": query, "time": moment.timestamp()}
    answer = requests.post(f"{prometheus}/api/v1/query", data=parameters, timeout=10).json()
    return bool(float(answer["data"]["result"][0]["value"][1]))


@pytest.mark.parametrize("one", WINDOWS, ids=lambda one: one.time_zone)
def test_prometheus_knows_a_windows_hours_also_when_clocks_change(
    prometheus: str, one: MaintenanceSettings
) -> None:
    expected = {moment: one.active(moment) for moment in MOMENTS}
    found = {moment: active_in_prometheus(prometheus, one, moment) for moment in MOMENTS}
    assert found == expected
    assert len(set(expected.values())) == 2


def test_what_runs_into_the_next_day_ends_there() -> None:
    assert WEEKEND.active(datetime(2026, 6, 13, 20, 0, tzinfo=UTC))  # Saturday, 22:00 in Berlin
    assert WEEKEND.active(datetime(2026, 6, 14, 1, 29, tzinfo=UTC))
    assert not WEEKEND.active(datetime(2026, 6, 14, 1, 30, tzinfo=UTC))
    assert not WEEKEND.active(datetime(2026, 6, 14, 20, 0, tzinfo=UTC))
    assert time_interval(WEEKEND)["time_intervals"] == [
        {
            "weekdays": ["sunday"],
            "times": [{"start_time": "00:00", "end_time": "03:30"}],
            "location": "Europe/Berlin",
        },
        {
            "weekdays": ["saturday"],
            "times": [{"start_time": "22:00", "end_time": "24:00"}],
            "location": "Europe/Berlin",
        },
    ]


@pytest.mark.parametrize(
    ("change", "form"),
    [
        ({"times": ["2-4"]}, "write 02:00-04:00, or 22:00-02:00 into the next day"),
        ({"times": ["02:00-02:00"]}, "no times of a day"),
        ({"times": ["02:00-24:30"]}, "no times of a day"),
        ({"times": []}, "name at least one"),
        ({"weekdays": ["caturday"]}, "write one of sunday, monday"),
        ({"time_zone": "Berlin"}, "write a name such as UTC or Europe/Berlin"),
        ({"matchers": ["severity"]}, 'write severity="page"'),
        ({"matchers": ["severity=~(("]}, "no regular expression"),
        ({"times": ["00:00-24:00"]}, "the whole week; a window must end"),
        ({"duration": "2h"}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_a_window_is_named_with_the_valid_form(
    change: dict[str, Any], form: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        window(**change)
    assert form in caught.value.errors()[0]["msg"]


def test_two_windows_of_one_name_are_refused() -> None:
    twice = [{"name": "night", "times": ["02:00-04:00"]}] * 2
    with pytest.raises(ValidationError, match="two windows have one name"):
        AlertSettings.model_validate({"maintenance": twice})
