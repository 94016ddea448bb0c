from pathlib import Path

import pytest
from watching import one, samples

from monitors.collectors.evidence import EvidenceCollector
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target
from storewatch.store.evidence import EvidenceStore


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path)


def rehearse(store: EvidenceStore, subject: str, seconds: float | None) -> Evidence:
    target = Target.parse("< 10")
    return store.open("drill", subject).finish(
        [Measurement("recovery_time_s", seconds, "s", target), Measurement("bytes", 7, "bytes")]
    )


def collect(store: EvidenceStore) -> list[object]:
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
