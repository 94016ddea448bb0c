"""Notifications as they really go: Alertmanager, and receivers that answer or refuse."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from loopback import free_port
from running import HttpServer, running, serving, until

from alerting.maintenance import DAYS, MaintenanceSettings
from alerting.notify import send_test
from alerting.prometheus import prometheus_argv, render_prometheus
from alerting.routes import alertmanager_argv, render_alertmanager
from alerting.rules import render_rules
from alerting.settings import AlertSettings
from alerting.webhook import Alertmanager
from storewatch.core.clock import rfc3339
from storewatch.core.errors import UnreachableError
from storewatch.core.targets import Verdict
from storewatch.tools import find_program

RHYTHM = {"group_wait": "100ms", "group_interval": "1s"}


class Site:
    """An Alertmanager, a desk, a chat and a heartbeat service."""

    def __init__(self, desk: HttpServer, chat: HttpServer, heart: HttpServer) -> None:
        self.desk, self.chat, self.heart = desk, chat, heart
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> AlertSettings:
        alertmanager = {
            "listen": f"127.0.0.1:{self.port}",
            "desk_url": f"{self.desk.url}/desk",
            "heartbeat_url": f"{self.heart.url}/pulse",
            "page": RHYTHM,
            "ticket": RHYTHM,
        }
        chat = {"slack_configs": [{"api_url": f"{self.chat.url}/chat", "channel": "#shop"}]}
        receivers = {"receivers": {"chat": chat}}
        return AlertSettings.model_validate({"alertmanager": alertmanager, **receivers, **more})

    def fire(self, **labels: str) -> None:
        """Tell Alertmanager of an alert."""
        now = datetime.now(UTC)
        times = {"startsAt": rfc3339(now), "endsAt": rfc3339(now + timedelta(minutes=5))}
        answer = requests.post(
            f"{self.url}/api/v2/alerts", json=[{"labels": labels, **times}], timeout=5
        )
        answer.raise_for_status()

    def heard(self, alert: str) -> bool:
        """Return whether the desk was told of an alert."""
        return any(one["labels"]["alertname"] == alert for one in self.desk.alerts("/desk"))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as desk, serving() as chat, serving() as heart:
        yield Site(desk, chat, heart)


@contextmanager
def alertmanager(folder: Path, settings: AlertSettings, *faster: tuple[str, str]) -> Iterator[None]:
    """Run Alertmanager; `faster` replaces durations of its configuration by shorter ones."""
    config, token = folder / "alertmanager.yml", folder / "token"
    token.write_text("t")
    text = render_alertmanager(settings, token)
    for slow, fast in faster:
        text = text.replace(f"_interval: {slow}\n", f"_interval: {fast}\n")
    config.write_text(text)
    program = find_program("alertmanager")
    argv = alertmanager_argv(settings.alertmanager, program, config, folder / "alertmanager")
    host, port = settings.alertmanager.listen
    with running(argv, folder / "alertmanager.log", f"http://{host}:{port}/-/ready"):
        yield


def now_and_then() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a window that is open for at least an hour, and one that is not."""
    today = datetime.now(UTC)
    day = today.isoweekday() % 7
    days = [DAYS[day], DAYS[(day + 1) % 7]]
    return (
        {"name": "now", "weekdays": days, "times": ["00:00-24:00"]},
        {"name": "then", "weekdays": [DAYS[(day + 3) % 7]], "times": ["00:00-24:00"]},
    )


def test_maintenance_mutes_what_its_matchers_meet_and_nothing_else(
    site: Site, tmp_path: Path
) -> None:
    now, then = now_and_then()
    windows = [
        {**now, "matchers": ['zone="a"']},
        {**then, "matchers": ['zone="b"']},
    ]
    with alertmanager(tmp_path, site.settings(maintenance=windows)):
        site.fire(alertname="Muted", zone="a", severity="page")
        site.fire(alertname="Told", zone="b", severity="page")
        site.fire(alertname="AlsoTold", severity="page")
        site.fire(alertname="Watchdog", zone="a")
        until(lambda: site.heard("Told") and site.heard("AlsoTold"), 15)
        until(lambda: site.heart.alerts("/pulse"), 15)
        suppressed = "alertmanager_notifications_suppressed_total"
        until(
            lambda: f"{suppressed} 0" not in requests.get(f"{site.url}/metrics", timeout=5).text, 15
        )
        assert not site.heard("Muted")

        # Alertmanager's API does not tell what a window mutes; the desk's reconciler must know.
        window = MaintenanceSettings.model_validate(windows[0])
        api = Alertmanager(site.url, frozenset({"desk-page"}), window.concerns)
        hidden = {alert.name: is_hidden for alert, is_hidden in api.alerts()}
        assert hidden == {"Muted": True, "Told": False, "AlsoTold": False}
        assert "Muted" not in {labels["alertname"] for labels in api.firing()}


def test_a_dead_database_silences_its_consequences_and_no_page(site: Site, tmp_path: Path) -> None:
    with alertmanager(tmp_path, site.settings()):
        site.fire(alertname="DatabasePrimaryDown", severity="ticket")
        until(lambda: site.heard("DatabasePrimaryDown"), 15)
        site.fire(alertname="InstanceDown", severity="ticket", target="app-1")
        site.fire(alertname="CheckoutFailing", severity="page", journey="checkout")
        until(lambda: site.heard("CheckoutFailing"), 15)
        states = {
            one["labels"]["alertname"]: one["status"]["state"]
            for one in requests.get(f"{site.url}/api/v2/alerts", timeout=5).json()
        }
        assert states["InstanceDown"] == "suppressed"
        assert not site.heard("InstanceDown")


def test_routes_of_ones_own_tell_others_and_the_desk_as_well(site: Site, tmp_path: Path) -> None:
    routes = [{"matchers": ['team="web"'], "receivers": ["chat"], "group_wait": "100ms"}]
    with alertmanager(tmp_path, site.settings(routes=routes)):
        site.fire(alertname="Slow", team="web", severity="ticket")
        until(lambda: site.heard("Slow") and site.chat.posted, 15)
        assert "Slow" in str(site.chat.posted[0][1])


@pytest.mark.parametrize(
    ("receiver", "kind", "server"),
    [
        ("desk-page", "webhook", "desk"),
        ("chat", "slack", "chat"),
        ("heartbeat", "webhook", "heart"),
    ],
)
def test_a_test_notification_reaches_its_receiver_alone(
    site: Site, tmp_path: Path, receiver: str, kind: str, server: str
) -> None:
    with alertmanager(tmp_path, site.settings()):
        delivery = send_test(site.url, receiver, [kind], 15)
        assert (delivery.verdict, delivery.delivered) == (Verdict.PASS, {kind: 1})
        servers = {"desk": site.desk, "chat": site.chat, "heart": site.heart}
        assert {name for name, one in servers.items() if one.posted} == {server}


@pytest.mark.parametrize("status", [404, 500])
def test_a_test_notification_that_is_refused_is_said(
    site: Site, tmp_path: Path, status: int
) -> None:
    site.chat.status = status
    with alertmanager(tmp_path, site.settings()):
        delivery = send_test(site.url, "chat", ["slack"], 15)
        assert delivery.verdict is Verdict.FAIL
        assert list(delivery.failed) == ["slack"]


def test_a_receiver_that_this_alertmanager_does_not_know_is_inconclusive(
    site: Site, tmp_path: Path
) -> None:
    with alertmanager(tmp_path, site.settings()):
        assert send_test(site.url, "other", ["slack"], 0.5).verdict is Verdict.INCONCLUSIVE


def test_an_alertmanager_that_is_gone_is_said(site: Site) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        send_test(site.url, "chat", ["slack"], 1)


@contextmanager
def prometheus(folder: Path, settings: AlertSettings, exporter: HttpServer) -> Iterator[None]:
    rules, config = folder / "rules.yml", folder / "prometheus.yml"
    # Half a minute of failing is what cases.yaml looks at.
    rules.write_text(render_rules(settings).replace("for: 30s", "for: 1s"))
    host, port = exporter.url.removeprefix("http://").split(":")
    config.write_text(render_prometheus(settings, rules, (host, int(port))))
    argv = prometheus_argv(settings, find_program("prometheus"), config, folder / "tsdb")
    # What Prometheus tells before it has found Alertmanager is told again only then.
    argv.append("--rules.alert.resend-delay=2s")
    address = "http://{}:{}".format(*settings.prometheus.listen)
    with running(argv, folder / "prometheus.log", f"{address}/-/ready"):
        yield


def test_when_the_desk_refuses_the_fallback_hears_of_it(site: Site, tmp_path: Path) -> None:
    site.desk.status = 500
    listen = f"127.0.0.1:{free_port()}"
    every = {"listen": listen, "scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = site.settings(prometheus=every, fallbacks=["chat"])
    with (
        serving({"/metrics": "storewatch_up 1\n"}) as exporter,
        alertmanager(tmp_path, settings),
        prometheus(tmp_path, settings, exporter),
    ):
        until(lambda: site.heart.alerts("/pulse"), 30)
        site.fire(alertname="CheckoutFailing", severity="page", journey="checkout")
        until(lambda: "NotificationsFailing" in str(site.chat.posted), 90)


def test_the_pulse_comes_at_every_beat_and_not_at_every_second_one(
    site: Site, tmp_path: Path
) -> None:
    settings = site.settings()
    config = yaml.safe_load(render_alertmanager(settings, tmp_path / "token"))
    (pulse,) = [one for one in config["route"]["routes"] if one["receiver"] == "heartbeat"]
    assert (pulse["group_interval"], pulse["repeat_interval"]) == ("1m", "30s")
    with alertmanager(tmp_path, settings, ("1m", "2s"), ("30s", "1s")):
        begin = time.monotonic()
        site.fire(alertname="Watchdog", severity="none")
        until(lambda: len(site.heart.posted) >= 4, 30)
        assert time.monotonic() - begin < 10  # three beats of 2 s; 12 s when every second is lost


def test_without_a_fallback_the_heartbeat_stops_while_notifications_fail(
    site: Site, tmp_path: Path
) -> None:
    with alertmanager(tmp_path, site.settings()):
        site.fire(alertname="NotificationsFailing", severity="ticket", integration="webhook")
        until(lambda: site.heard("NotificationsFailing"), 15)
        site.fire(alertname="Watchdog", severity="none")
        site.fire(alertname="CheckoutFailing", severity="page", journey="checkout")
        until(lambda: site.heard("CheckoutFailing"), 15)
        assert not site.heart.posted
