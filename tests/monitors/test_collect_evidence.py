import os
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from watching import one, samples

from monitors.collectors.evidence import EvidenceCollector
from monitors.collectors.load import load_families
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.core.targets import Target
from storewatch.store.evidence import EvidenceStore


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path)


SAID: dict[str, Any] = {
    "elapsed_s": 14.0,
    "duration_s": 40.0,
    "stage": "hold",
    "asked_per_s": 30.0,
    "visits": 280,
    "failed": 3,
    "missed": 1,
    "p50_s": 0.01,
    "p95_s": 0.04,
    "p99_s": 0.09,
    "arrivals_per_s": 30.0,
    "started_per_s": 29.5,
    "requests_per_s": 59.0,
    "failed_per_s": 0.3,
    "busy": 4,
    "generator_cpu_ratio": 0.21,
}


def load_samples(store: EvidenceStore) -> dict[Any, float]:
    return {k: v for k, v in samples(collect(store)).items() if k[0].startswith("storewatch_load_")}


def rehearse(store: EvidenceStore, subject: str, seconds: float | None) -> Evidence:
    target = Target.parse("< 10")
    return store.open("drill", subject).finish(
        [Measurement("recovery_time_s", seconds, "s", target), Measurement("bytes", 7, "bytes")]
    )


def collect(store: EvidenceStore) -> list[Metric]:
    return list(EvidenceCollector(store).collect())


def test_without_evidence_only_its_reading_is_up(store: EvidenceStore) -> None:
    assert samples(collect(store)) == {("storewatch_evidence_up", ()): 1.0}


def test_the_newest_of_each_subject_is_published(store: EvidenceStore) -> None:
    rehearse(store, "cloud", 3.0)
    failed = rehearse(store, "cloud", 30.0)
    rehearse(store, "local", 1.0)
    found = collect(store)
    verdict = "storewatch_evidence_verdict"
    assert one(found, verdict, kind="drill", subject="cloud", verdict="FAIL") == 1
    assert one(found, verdict, kind="drill", subject="cloud", verdict="PASS") == 0
    assert one(found, verdict, kind="drill", subject="local", verdict="PASS") == 1
    measured = "storewatch_evidence_measurement"
    assert one(found, measured, subject="cloud", name="recovery_time_s") == 30
    stamp = one(found, "storewatch_evidence_timestamp_seconds", subject="cloud")
    assert stamp == pytest.approx(failed.started_at.timestamp() + failed.duration_s)


def test_a_failure_does_not_refresh_the_time_of_the_last_pass(store: EvidenceStore) -> None:
    good = rehearse(store, "cloud", 3.0)
    rehearse(store, "cloud", 30.0)
    passed = one(collect(store), "storewatch_evidence_last_pass_timestamp_seconds", subject="cloud")
    assert passed == pytest.approx(good.started_at.timestamp() + good.duration_s)


def test_a_measurement_that_was_not_taken_is_absent(store: EvidenceStore) -> None:
    rehearse(store, "cloud", None)
    found = collect(store)
    assert one(found, "storewatch_evidence_measurement", subject="cloud") == 7  # bytes alone
    assert one(found, "storewatch_evidence_verdict", verdict="INCONCLUSIVE") == 1


def test_a_load_test_has_metrics_while_it_runs_and_none_afterwards(store: EvidenceStore) -> None:
    draft = store.open("load", "checkout/baseline")
    draft.tell(SAID)
    subject = ("subject", "checkout/baseline")
    assert load_samples(store) == {
        ("storewatch_load_running", (subject,)): 1,
        ("storewatch_load_elapsed_seconds", (subject,)): 14,
        ("storewatch_load_asked_per_second", (subject,)): 30,
        ("storewatch_load_started_per_second", (subject,)): 29.5,
        ("storewatch_load_requests_per_second", (subject,)): 59,
        ("storewatch_load_latency_seconds", (("quantile", "0.5"), subject)): 0.01,
        ("storewatch_load_latency_seconds", (("quantile", "0.95"), subject)): 0.04,
        ("storewatch_load_latency_seconds", (("quantile", "0.99"), subject)): 0.09,
        ("storewatch_load_visits_total", (subject,)): 280,
        ("storewatch_load_visits_failed_total", (subject,)): 3,
        ("storewatch_load_arrivals_missed_total", (subject,)): 1,
        ("storewatch_load_busy_shoppers", (subject,)): 4,
        ("storewatch_load_generator_cpu_ratio", (subject,)): 0.21,
    }
    draft.finish([])
    assert load_samples(store) == {}


def test_a_load_test_that_broke_off_has_no_metrics_for_long(store: EvidenceStore) -> None:
    draft = store.open("load", "checkout/baseline")
    draft.tell(SAID)
    said = draft.folder / "progress.json"
    os.utime(said, (said.stat().st_atime, said.stat().st_mtime - 10))
    assert load_samples(store) == {}


def test_before_the_first_answer_a_load_test_has_no_latency(store: EvidenceStore) -> None:
    store.open("load", "checkout/baseline").tell({**SAID, "p50_s": None, "p95_s": None})
    families = collect(store)
    assert one(families, "storewatch_load_running") == 1
    assert one(families, "storewatch_load_latency_seconds", quantile="0.99") == 0.09
    assert len([name for name, _ in load_samples(store) if "latency" in name]) == 1


def test_of_two_load_tests_of_one_subject_the_later_one_has_the_series() -> None:
    early, late = ({**SAID, "id": new_id(), "subject": "mix/peak", "busy": n} for n in (4, 9))
    other = {**SAID, "id": "0", "subject": "buy/peak", "busy": 2}
    early["id"], late["id"] = sorted((early["id"], late["id"]))
    for lines in permutations((early, late, other)):
        families = list(load_families(lines))
        assert one(families, "storewatch_load_busy_shoppers", subject="mix/peak") == 9
        assert one(families, "storewatch_load_busy_shoppers", subject="buy/peak") == 2
