"""The published example of what coordinated omission hides, and of its correction.

A system is asked every 10 ms. For 100 s each answer takes 1 ms; then it stops for 100 s, in which
one who waits for each answer gets a single one, of 100 s. Source of the scenario and all figures:
HdrHistogram, README, "Corrected vs. Raw value recording calls", and its HistogramDataAccessTest.
"""

from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from loadtests.arrivals import Stage
from loadtests.figures import Visit
from loadtests.histogram import bucket
from loadtests.recorder import Recorder
from storewatch.core.journey import StepResult

EVERY_S = 0.01
QUICK_S = 0.001
STOPS_AT_S, STOP_S = 100.0, 100.0
QUICK, ALL = 10_000, 20_000
# Seconds by percentile.
CORRECTED = {50: 0.001, 75: 50.0, 90: 80.0, 99: 98.0, 100: 100.0}
RAW = {50: 0.001, 75: 0.001, 90: 0.001, 99: 0.001, 99.99: 0.001, 100: 100.0}


def recorded(folder: Path, count: int) -> dict[str, Any]:
    """Return what our recorder says of the first so many intended starts."""
    recorder = Recorder(folder, [Stage("hold", STOPS_AT_S + STOP_S, 100, 100)])
    for number in range(count):
        intended_s = number * EVERY_S
        if number < QUICK:
            started_s, ended_s = intended_s, intended_s + QUICK_S
        else:  # the first of these is sent and waits; the others can be sent when it is over
            started_s = intended_s if number == QUICK else STOPS_AT_S + STOP_S
            ended_s = STOPS_AT_S + STOP_S
        step = StepResult("ask", True, ended_s - started_s, "")
        recorder.visit(Visit("ask", intended_s, started_s, ended_s, (step,), ""))
    return recorder.summary(0.1, STOPS_AT_S + STOP_S)


def library(*, corrected: bool) -> HdrHistogram:
    """Return the histogram of the library: 3 digits, up to an hour, in microseconds."""
    found = HdrHistogram(1, 3_600_000_000, 3)
    values = [round(QUICK_S * 1e6)] * QUICK + [round(STOP_S * 1e6)]
    for value in values:
        if corrected:
            found.record_corrected_value(value, round(EVERY_S * 1e6))
        else:
            found.record_value(value)
    return found


def test_measured_from_the_intended_start_the_example_has_its_corrected_figures(
    tmp_path: Path,
) -> None:
    found = recorded(tmp_path, ALL)
    spectrum = dict(found["spectrum"])
    assert {p: bucket(spectrum[p]) for p in CORRECTED} == {
        p: bucket(seconds) for p, seconds in CORRECTED.items()
    }
    assert found["steps"]["count"] == 20_000
    assert found["steps"]["mean_s"] == pytest.approx((0.001 + 50) / 2, rel=0.001)


def test_they_are_those_of_the_library_to_the_last_digit(tmp_path: Path) -> None:
    theirs, ours = library(corrected=True), recorded(tmp_path, ALL)
    assert theirs.get_total_count() == ours["steps"]["count"]
    for percentile, seconds in ours["spectrum"]:
        assert seconds == theirs.get_value_at_percentile(percentile) / 1e6
    assert ours["steps"]["mean_s"] == pytest.approx(theirs.get_mean_value() / 1e6, rel=1e-3)


def test_who_waits_for_each_answer_finds_the_raw_figures(tmp_path: Path) -> None:
    theirs, ours = library(corrected=False), recorded(tmp_path, QUICK + 1)
    spectrum = dict(ours["spectrum"])
    assert {p: bucket(spectrum[p]) for p in RAW} == {p: bucket(s) for p, s in RAW.items()}
    assert ours["steps"]["count"] == theirs.get_total_count() == 10_001
    for percentile, seconds in ours["spectrum"]:
        assert seconds == theirs.get_value_at_percentile(percentile) / 1e6


def test_the_service_time_beside_it_does_not_know_of_the_stop(tmp_path: Path) -> None:
    found = recorded(tmp_path, ALL)
    assert found["service"]["p99_s"] <= 0.001
    assert found["steps"]["p99_s"] == pytest.approx(98.0, rel=0.001)
