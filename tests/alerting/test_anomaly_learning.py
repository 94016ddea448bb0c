"""Seasons learnt from a real Prometheus that holds weeks of a counter, and what is made of them."""

import json
import math
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alerting.anomaly import learn
from alerting.anomaly.season import History, Span, fit, hours
from alerting.anomaly.settings import AnomalySettings
from alerting.incident import Incident
from benchmarks.histories import START, at, build, weekly
from monitors.collectors.signals import SignalCollector
from storewatch.core.clock import from_unix, rfc3339
from storewatch.core.errors import AlertError, UnreachableError
from storewatch.store.prometheus_api import range_query
from storewatch.tools import find_program, working_folder

NOW = at(5)
SETTINGS = AnomalySettings.model_validate(
    {"signals": [{"name": "orders", "counter": "shop_orders_total"}]}
)


def openmetrics(history: History) -> Iterator[str]:
    """The history as a counter of two instances that both start at 0, sampled once a minute."""
    total = 0.0
    yield "# TYPE shop_orders counter\n"
    for instance, share in (("a", 0.25), ("b", 0.75)):
        total = 0.0
        for index, count in enumerate(history.counts):
            total += share * count
            yield (
                f'shop_orders_total{{instance="{instance}"}} {total}'
                f" {history.start + 60 * (index + 1)}\n"
            )
    yield "# EOF\n"


@pytest.fixture(scope="module")
def prometheus(promtool: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history.om").write_text("".join(openmetrics(build(weekly, 5))))
    # In blocks of nine days; 420 of two hours take a minute.
    create = [promtool, "tsdb", "create-blocks-from", "--max-block-duration=216h"]
    blocks = [*create, "openmetrics", "history.om", "data"]
    subprocess.run([str(word) for word in blocks], cwd=folder, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("{}\n")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    program = find_program("prometheus")
    argv = [
        str(program),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(argv, cwd=working_folder(program), stdout=log, stderr=log)
    try:
        await_ready(f"{address}/-/ready", child)
        yield address
    finally:
        child.terminate()
        child.wait(20)


def await_ready(url: str, child: subprocess.Popen[bytes]) -> None:
    pause, began = threading.Event(), time.monotonic()
    while True:
        assert child.poll() is None
        assert time.monotonic() - began < 60
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            pause.wait(0.1)


def test_a_season_learnt_from_prometheus_is_that_of_the_counts_themselves(prometheus: str) -> None:
    ask = partial(range_query, prometheus, strict=True)
    learnt = learn.learn(SETTINGS, ask, NOW, []).signals["orders"]
    direct = fit(hours(build(weekly, 5)), NOW, zone="UTC", weeks=5, minimum_weeks=3)
    assert learnt.ready_ratio == 1
    for hour in range(168):
        assert learnt.middle[hour] == pytest.approx(direct.middle[hour], rel=0.02)
    assert learnt.dispersion == pytest.approx(direct.dispersion, abs=0.15)


def incident(span: Span, severity: str = "ticket", **more: Any) -> Incident:
    begin, end = (rfc3339(from_unix(moment)) for moment in (span.start, span.end))
    known = {"id": "1", "fingerprint": "a", "alert": "CheckoutFailing", "severity": severity}
    texts = {"state": "resolved", "summary": "", "runbook": "", "starts_at": begin}
    times = {"opened_at": begin, "acknowledged_at": None, "resolved_at": end}
    return Incident(**{**known, **texts, **times, "labels": {}, **more})


def test_time_of_open_and_ended_incidents_is_not_learnt_from(prometheus: str) -> None:
    ask = partial(range_query, prometheus, strict=True)
    told = [incident(Span(at(week, 2, 10), at(week, 2, 11)), severity="page") for week in range(3)]
    season = learn.learn(SETTINGS, ask, NOW, told).signals["orders"]
    assert season.middle[2 * 24 + 10] is None  # two weeks are left of the five
    assert season.middle[2 * 24 + 11] is not None


def test_a_page_freezes_every_signal_and_a_signals_own_ticket_that_signal() -> None:
    fault = Span(at(4), at(4, 1))
    page = incident(fault, severity="page")
    own = incident(fault, alert="SignalDropped", labels={"signal": "log_ins"})
    other = incident(fault, alert="RedisDown")
    assert learn.troubled([page, own, other], NOW, "orders") == [fault]
    assert learn.troubled([page, own, other], NOW, "log_ins") == [fault, fault]
    still_open = replace(own, resolved_at=None)
    assert learn.troubled([still_open], NOW, "log_ins") == [Span(fault.start, NOW)]


def test_a_counter_that_prometheus_does_not_know_expects_nothing(prometheus: str) -> None:
    settings = AnomalySettings.model_validate(
        {"signals": [{"name": "gone", "counter": "no_such_total"}]}
    )
    ask = partial(range_query, prometheus, strict=True)
    assert learn.learn(settings, ask, NOW, []).signals["gone"].ready_ratio == 0


def test_a_prometheus_that_does_not_answer_leaves_what_was_learnt(tmp_path: Path) -> None:
    ask = partial(range_query, "http://127.0.0.1:9", strict=True)
    with pytest.raises(UnreachableError, match="does not answer"):
        learn.learn(SETTINGS, ask, NOW, [])


def seasons() -> learn.Seasons:
    season = fit(hours(build(weekly, 5)), NOW, zone="UTC", weeks=5, minimum_weeks=3)
    return learn.Seasons(float(NOW), {"orders": season})


def test_what_was_learnt_is_kept_and_published_with_its_bounds(tmp_path: Path) -> None:
    file = tmp_path / "anomaly" / "seasons.json"
    source = learn.Signals(SETTINGS, file)
    assert source.states(NOW) == []
    learn.save(seasons(), file)
    assert learn.load(file) == seasons()
    (state,) = source.states(at(5, 0, 19.5))
    assert state.expected_per_minute is not None
    assert state.expected_per_minute == pytest.approx(weekly(at(0, 0, 19.5)), rel=0.05)
    assert set(state.lower_bounds) == {2, 4, 8, 30, 60}
    assert state.lower_bounds[2] == 0.5
    assert 0.5 < state.lower_bounds[8] / (8 * state.expected_per_minute) <= 0.76
    families = {f.name: f.samples for f in SignalCollector(source).collect()}
    assert families["storewatch_signals_up"][0].value == 1
    assert {s.labels["window"] for s in families["storewatch_signal_lower_bound"]} == {
        "2m",
        "4m",
        "8m",
        "30m",
        "60m",
    }
    assert families["storewatch_signal_fitted_timestamp_seconds"][0].value == NOW


def test_the_calendar_closes_the_shop_and_raises_what_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "seasons.json"
    learn.save(seasons(), file)
    entries = [
        {"name": "closed", "start": iso(at(5, 1)), "end": iso(at(5, 2)), "factor": 0},
        {"name": "sale", "start": iso(at(5, 3)), "end": iso(at(5, 4)), "factor": 3},
        {"name": "unknown", "start": iso(at(5, 5)), "end": iso(at(5, 6))},
    ]
    settings = SETTINGS.model_copy(
        update={"calendar": AnomalySettings.model_validate({"calendar": entries}).calendar}
    )
    source = learn.Signals(settings, file)
    closed, sale, unknown, plain = (
        source.states(moment)[0]
        for moment in (at(5, 1, 12), at(5, 3, 12), at(5, 5, 12), at(5, 2, 12))
    )
    assert closed.expected_per_minute == 0
    assert set(closed.lower_bounds.values()) == {0}
    assert sale.lower_bounds[8] > 2 * 8 * weekly(at(0, 3, 12)) * 0.7
    assert set(unknown.lower_bounds.values()) == {0.5}
    assert plain.lower_bounds[8] > 0.5


def iso(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


@pytest.mark.parametrize("content", ["{", "[]", '{"fitted_at": 1, "signals": {"orders": {}}}'])
def test_a_file_that_is_not_what_was_learnt_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "seasons.json"
    file.write_text(content)
    with pytest.raises(AlertError, match=r"seasons\.json: not what was learnt"):
        learn.load(file)


def test_the_kept_file_is_plain_json(tmp_path: Path) -> None:
    file = tmp_path / "seasons.json"
    learn.save(seasons(), file)
    kept = json.loads(file.read_text())
    assert kept["fitted_at"] == START + 5 * 7 * 86400
    assert not any(math.isnan(rate) for rate in kept["signals"]["orders"]["middle"])
