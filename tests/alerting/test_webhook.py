from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from loopback import answering

from alerting.webhook import Alertmanager, read_webhook
from storewatch.core.errors import AlertError, UnreachableError

# As Alertmanager 0.25 sent it.
ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "RedisDown", "severity": "page"},
    "annotations": {"summary": "Redis does not answer"},
    "startsAt": "2026-11-22T10:00:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://127.0.0.1:9090/graph",
    "fingerprint": "d2c5f7e6a0b1c3d4",
}
DELIVERY: dict[str, Any] = {
    "receiver": "desk-page",
    "status": "firing",
    "alerts": [ALERT],
    "groupLabels": {"alertname": "RedisDown"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://127.0.0.1:9093",
    "version": "4",
    "groupKey": '{}:{alertname="RedisDown"}',
    "truncatedAlerts": 0,
}


def test_a_delivery_is_its_alerts() -> None:
    (alert,) = read_webhook(DELIVERY)
    assert alert.name == "RedisDown"
    assert alert.firing
    assert alert.starts_at == "2026-11-22T10:00:00.123Z"
    assert alert.annotations == {"summary": "Redis does not answer"}
    (ended,) = read_webhook({**DELIVERY, "alerts": [{**ALERT, "status": "resolved"}]})
    assert not ended.firing


@pytest.mark.parametrize("version", ["3", 4, None])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(AlertError, match='expected an object with "version": "4"'):
        read_webhook({**DELIVERY, "version": version})


@pytest.mark.parametrize("payload", [None, [], "text", 7])
def test_what_is_no_object_is_refused(payload: object) -> None:
    with pytest.raises(AlertError, match="not an Alertmanager webhook"):
        read_webhook(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "unknown"},
        {"labels": None},
        {"labels": ["alertname"]},
        {"labels": {"alertname": {"deep": 1}}},
        {"annotations": {"summary": 7}},
        {"startsAt": "yesterday"},
        {"startsAt": 0},
        {"startsAt": "2026-11-22T10:00:00"},
        {"fingerprint": None},
        {"fingerprint": "../../etc"},
        {"fingerprint": "a" * 65},
    ],
    ids=str,
)
def test_a_malformed_alert_is_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(AlertError, match="a malformed alert in the webhook: ") as caught:
        read_webhook({**DELIVERY, "alerts": [{**ALERT, **change}]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alerts", [None, "text", [None], [{}], [[]]], ids=str)
def test_malformed_lists_of_alerts_are_refused(alerts: object) -> None:
    with pytest.raises(AlertError, match="a malformed alert in the webhook"):
        read_webhook({**DELIVERY, "alerts": alerts})


def held(state: str, name: str, receiver: str = "desk-page") -> dict[str, Any]:
    return {
        **ALERT,
        "labels": {"alertname": name},
        "status": {"state": state, "silencedBy": [], "inhibitedBy": []},
        "receivers": [{"name": receiver}],
    }


@contextmanager
def alertmanager(answer: object, status: int = 200) -> Iterator[str]:
    with answering(answer, status) as port:
        yield f"http://127.0.0.1:{port}"


def test_what_fires_is_all_that_is_not_suppressed() -> None:
    states = [held("active", "A"), held("unprocessed", "B"), held("suppressed", "C")]
    with alertmanager(states) as url:
        assert [labels["alertname"] for labels in Alertmanager(url).firing()] == ["A", "B"]


def test_the_desk_is_told_of_its_own_receivers_alerts_and_which_are_suppressed() -> None:
    states = [
        held("active", "A"),
        held("suppressed", "B", "desk-ticket"),
        held("active", "Watchdog", "heartbeat"),
    ]
    with alertmanager(states) as url:
        desk = Alertmanager(url, frozenset({"desk-page", "desk-ticket"}))
        assert [(a.name, hidden) for a, hidden in desk.alerts()] == [("A", False), ("B", True)]
        assert len(Alertmanager(url).alerts()) == 3


@pytest.mark.parametrize("answer", [{"error": "x"}, ["text"], [{}], [None], 7], ids=str)
def test_an_answer_that_is_no_list_of_alerts_is_no_answer(answer: object) -> None:
    with (
        alertmanager(answer) as url,
        pytest.raises(UnreachableError, match="Alertmanager does not answer at http"),
    ):
        Alertmanager(url).alerts()


def test_an_alertmanager_in_trouble_or_down_is_no_answer() -> None:
    with alertmanager([], 503) as url, pytest.raises(UnreachableError, match="503"):
        Alertmanager(url).firing()
    with pytest.raises(UnreachableError):
        Alertmanager("http://127.0.0.1:9").firing()
