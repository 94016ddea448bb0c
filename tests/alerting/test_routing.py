"""Who would be told, compared with what Alertmanager's own program says."""

import itertools
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from alerting.matchers import Matcher
from alerting.receivers import NOBODY
from alerting.routes import alertmanager_config, render_alertmanager, roadless
from alerting.routing import inhibited, maintained, told
from alerting.settings import AlertSettings

SLACK = {"slack_configs": [{"api_url": "https://slack.test/s3cret", "channel": "#shop"}]}
MAIL = {
    "email_configs": [
        {
            "to": "a@shop.test",
            "from": "b@shop.test",
            "smarthost": "mail.test:25",
            "auth_password": "s3cret",
        }
    ]
}
PAGER = {"pagerduty_configs": [{"routing_key": "s3cret"}]}
SETTINGS: dict[str, Any] = {
    "receivers": {"team": SLACK, "mail": MAIL, "pager": PAGER},
    "fallbacks": ["team", "mail"],
    "routes": [
        {"matchers": ['team="web"'], "receivers": ["team"], "continue": True, "group_wait": "5s"},
        {"matchers": ['severity=~"page|critical"', 'team!=""'], "receivers": ["pager", "mail"]},
        {"matchers": ["provider!~alpha|beta", "provider!="], "receivers": ["mail"]},
        {"receivers": ["team"], "matchers": ['severity="ticket"'], "group_by": ["alertname"]},
    ],
    "inhibitions": [
        {"source": ['alertname="Flood"'], "target": ['severity=~".+"'], "equal": ["zone"]}
    ],
    "maintenance": [
        {"name": "web", "times": ["01:00-02:00"], "matchers": ['team="web"']},
        {"name": "tickets", "times": ["03:00-04:00"], "matchers": ['severity="ticket"']},
        {"name": "tickets-too", "times": ["05:00-06:00"], "matchers": ['severity="ticket"']},
    ],
}
ALERTS = [
    {"alertname": name, **severity, **team, **provider}
    for name, severity, team, provider in itertools.product(
        ("CheckoutFailing", "Watchdog", "NotificationsFailing"),
        ({}, {"severity": "page"}, {"severity": "ticket"}, {"severity": "critical"}),
        ({}, {"team": "web"}),
        ({}, {"provider": "alpha"}, {"provider": "gamma", "sloth_severity": "page"}),
    )
]
ALERTS += [
    {"alertname": "NotificationsFailing", "integration": kind}
    for kind in ("webhook", "slack", "email", "pagerduty", "fax")
]
ALERTS += [
    {"alertname": "NotificationTest", "test_receiver": name} for name in ("team", "desk-page", "x")
]


@pytest.fixture(scope="module")
def settings() -> AlertSettings:
    return AlertSettings.model_validate(SETTINGS)


@pytest.fixture(scope="module")
def config(settings: AlertSettings) -> dict[str, Any]:
    return alertmanager_config(settings, Path("token"))


@pytest.fixture(scope="module")
def written(settings: AlertSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "token").write_text("t")
    path = folder / "alertmanager.yml"
    path.write_text(render_alertmanager(settings, folder / "token"))
    return path


def amtool_says(amtool: Path, written: Path, labels: dict[str, str]) -> list[str]:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    argv = [str(amtool), "config", "routes", "test", f"--config.file={written}", *pairs]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return [name for name in out.strip().split(",") if name != NOBODY]


def test_alertmanager_accepts_the_whole_of_it(amtool: Path, written: Path) -> None:
    argv = [str(amtool), "check-config", str(written)]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("labels", ALERTS, ids=lambda labels: " ".join(labels.values()))
def test_who_is_told_is_what_alertmanager_would_do(
    amtool: Path, written: Path, config: dict[str, Any], labels: dict[str, str]
) -> None:
    assert [one.receiver for one in told(config, labels)] == amtool_says(amtool, written, labels)


HEARD = [a for a in ALERTS if a["alertname"] not in {"Watchdog", "NotificationTest"}]


@pytest.mark.parametrize("labels", HEARD, ids=lambda labels: " ".join(labels.values()))
def test_the_desk_hears_of_it_whoever_else_does(
    config: dict[str, Any], labels: dict[str, str]
) -> None:
    page = "page" in (labels.get("severity"), labels.get("sloth_severity"))
    desk = [one.receiver for one in told(config, labels) if one.receiver.startswith("desk")]
    assert desk == ["desk-page" if page else "desk-ticket"]


def test_the_way_to_a_receiver_is_told(config: dict[str, Any]) -> None:
    first, second = told(config, {"alertname": "A", "severity": "critical", "team": "shop"})[:2]
    assert (first.receiver, first.integrations) == ("pager", ("pagerduty",))
    assert first.path == ('severity=~"page|critical" team!=""',)
    assert first.group == {"alertname": "A", "severity": "critical"}
    assert first.timing["group_wait"] == "10s"
    assert second.receiver == "mail"


def test_an_alert_that_meets_two_windows_is_muted_by_both(config: dict[str, Any]) -> None:
    both = {"alertname": "A", "severity": "ticket", "team": "web"}
    assert {one.muted_by for one in told(config, both)} == {("web", "tickets", "tickets-too")}
    one = {"alertname": "A", "severity": "ticket"}
    assert {one.muted_by for one in told(config, one)} == {("tickets", "tickets-too")}
    none = {"alertname": "A", "severity": "page"}
    assert {one.muted_by for one in told(config, none)} == {()}


def test_the_watchdog_and_failed_notifications_are_never_muted() -> None:
    everything = {**SETTINGS, "maintenance": [{"name": "all", "times": ["00:00-23:59"]}]}
    config = alertmanager_config(AlertSettings.model_validate(everything), Path("token"))
    assert [one.muted_by for one in told(config, {"alertname": "Watchdog"})] == [()]
    failing = told(config, {"alertname": "NotificationsFailing", "integration": "webhook"})
    assert (failing[0].receiver, failing[0].muted_by) == ("team", ())
    assert {one.muted_by for one in failing[1:]} == {("all",)}


def test_a_window_is_explained_with_whether_it_mutes_now(
    settings: AlertSettings, config: dict[str, Any]
) -> None:
    answers = told(config, {"alertname": "A", "team": "web"})
    for hour, now in ((1, True), (2, False)):
        moment = datetime(2026, 5, 4, hour, 30, tzinfo=UTC)
        (reason,) = maintained(settings.maintenance, answers, moment)
        assert reason.now is now
        assert "in maintenance web: sun, mon" in reason.why
        assert "01:00-02:00 UTC" in reason.why


def test_a_cause_mutes_where_labels_agree_and_never_its_like(config: dict[str, Any]) -> None:
    labels = {"alertname": "A", "severity": "page", "zone": "eu"}
    flood = {"alertname": "Flood", "severity": "page"}

    def now(*firing: dict[str, str]) -> list[bool | None]:
        return [reason.now for reason in inhibited(config, labels, firing)]

    assert now() == [False]
    assert now({**flood, "zone": "us"}) == [False]
    assert now({**flood, "zone": "eu"}) == [True]
    assert [r.now for r in inhibited(config, labels, None)] == [None]
    assert inhibited(config, {**flood, "zone": "eu"}, [{**flood, "zone": "eu"}]) == []


_BURN = {"alertname": "CheckoutBudgetBurn", "sloth_id": "shop-checkout"}
_BURNS = {**_BURN, "severity": "page", "sloth_severity": "page"}
_ALSO_BURNS = {**_BURN, "severity": "ticket", "sloth_severity": "ticket"}
_GONE = {"alertname": "SliMissing", "severity": "ticket", "sloth_id": "a", "sign": "gone"}
_DISK = {"alertname": "DiskFilling", "instance": "shop:1", "mountpoint": "/", "severity": "page"}


@pytest.mark.parametrize(
    ("cause", "consequence", "muted"),
    [
        (_BURNS, _ALSO_BURNS, True),
        (_BURNS, {**_ALSO_BURNS, "sloth_id": "shop-latency"}, False),
        (_ALSO_BURNS, _BURNS, False),
        (_GONE, {**_GONE, "sign": "never"}, True),
        (_GONE, {**_GONE, "sign": "never", "sloth_id": "b"}, False),
        (_DISK, {**_DISK, "severity": "ticket"}, True),
        (_DISK, {**_DISK, "severity": "ticket", "mountpoint": "/srv"}, False),
        (_DISK, _DISK, False),
        ({"alertname": "ExporterDown"}, {"alertname": "JourneyStale", "severity": "ticket"}, True),
        ({"alertname": "ExporterDown"}, {"alertname": "JourneyStale", "severity": "page"}, False),
    ],
)
def test_what_is_shipped_mutes_consequences_and_no_page(
    cause: dict[str, str], consequence: dict[str, str], muted: bool
) -> None:
    config = alertmanager_config(AlertSettings(), Path("token"))
    reasons = inhibited(config, consequence, [cause])
    assert any(reason.now for reason in reasons) is muted


@pytest.mark.parametrize(
    ("failing", "road"),
    [("webhook", "team"), ("slack", "mail"), ("email", "team"), ("pagerduty", "team")],
)
def test_failed_notifications_take_another_road(
    config: dict[str, Any], failing: str, road: str
) -> None:
    first = told(config, {"alertname": "NotificationsFailing", "integration": failing})[0]
    assert first.receiver == road
    assert failing not in first.integrations


def test_without_another_road_the_heartbeat_stops(settings: AlertSettings) -> None:
    assert roadless(settings) == []
    assert roadless(AlertSettings()) == ["webhook"]
    url = {"heartbeat_url": "https://heartbeat.test/1"}
    beating = AlertSettings.model_validate({"alertmanager": url})
    assert roadless(beating) == []
    config = alertmanager_config(beating, Path("token"))
    failing = {"alertname": "NotificationsFailing", "integration": "webhook"}
    (reason,) = inhibited(config, {"alertname": "Watchdog", "severity": "none"}, [failing])
    assert reason.now


def test_secrets_are_not_shown(settings: AlertSettings) -> None:
    shown = render_alertmanager(settings, Path("token"), secrets=False)
    assert "s3cret" not in shown
    assert shown.count("<secret>") == 3
    assert "#shop" in shown
    assert render_alertmanager(settings, Path("token")).count("s3cret") == 3


def test_equal_settings_give_an_equal_configuration(settings: AlertSettings) -> None:
    texts = {render_alertmanager(settings, Path("token")) for _ in range(3)}
    assert len(texts) == 1
    assert "&id" not in texts.pop()


@pytest.mark.parametrize(
    ("change", "form"),
    [
        (
            {"receivers": {"team": {"fax_configs": [{}]}}},
            "unknown key 'fax_configs'; a rec",
        ),
        ({"receivers": {"team": {}}}, "tells nobody; write such as slack_configs"),
        ({"receivers": {"desk-page": SLACK}}, "receivers.desk-page: the name is ours"),
        ({"receivers": {"Team": SLACK}}, "match pattern"),
        (
            {"routes": [{"receivers": ["team"]}]},
            "routes: no receiver 'team' in receivers",
        ),
        ({"routes": [{"receivers": []}]}, "name at least one"),
        ({"routes": [{"receivers": ["a"], "matchers": ["severity"]}]}, 'write severity="page"'),
        ({"routes": [{"receivers": ["a"], "match": {}}]}, "Extra inputs are not permitted"),
        ({"fallbacks": ["team"]}, "fallbacks: no receiver 'team'"),
        ({"inhibitions": [{"source": [], "target": ["a=b"]}]}, "name at least one"),
        (
            {
                "maintenance": [
                    {"name": f"w{n}", "times": ["01:00-02:00"], "matchers": [f"a={n}"]}
                    for n in range(5)
                ]
            },
            "more than 4 different lists of matchers",
        ),
    ],
)
def test_a_mistake_is_named_with_the_valid_form(change: dict[str, Any], form: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AlertSettings.model_validate(change)
    assert form in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ('a="b"', {"a": "b"}, True),
        ("a=b", {"a": "b"}, True),
        ('a!="b"', {}, True),
        ('a=""', {}, True),
        ('a=~"b|c"', {"a": "c"}, True),
        ('a=~"b"', {"a": "bb"}, False),
        ('a!~"b.*"', {"a": "bc"}, False),
        (r'a="\"b\\"', {"a": '"b\\'}, True),
    ],
)
def test_matchers_mean_what_alertmanagers_mean(
    text: str, labels: dict[str, str], matches: bool
) -> None:
    matcher = Matcher.parse(text)
    assert matcher.matches(labels) is matches
    assert Matcher.parse(str(matcher)) == matcher


def test_a_configuration_has_no_more_routes_than_windows_need(config: dict[str, Any]) -> None:
    assert yaml.safe_dump(config).count("desk-page") < 25
