"""What the exporter publishes of the suite's own state: incidents, the WAL archive."""

from pathlib import Path

from alerting.incident import Alert
from alerting.incidents import IncidentBook
from monitors.collectors.incidents import IncidentCollector
from monitors.collectors.wal import WalCollector
from storewatch.core.parts import ArchivedTier, WalArchive
from storewatch.store.database import open_database


def told(name: str, severity: str, *, firing: bool = True) -> Alert:
    labels = {"alertname": name, "severity": severity}
    return Alert(name, labels, {}, "2026-11-22T01:00:00Z", firing)


def values(book: IncidentBook) -> dict[tuple[str, str], float]:
    return {
        (family.name, sample.labels["severity"]): sample.value
        for family in IncidentCollector(book).collect()
        for sample in family.samples
        if "severity" in sample.labels
    }


def test_incidents_are_counted_from_nought_by_severity(tmp_path: Path) -> None:
    book = IncidentBook(open_database(f"sqlite:///{tmp_path / 'own.db'}"))
    assert set(values(book).values()) == {0}
    book.receive([told("A", "page"), told("B", "page"), told("C", "ticket")])
    book.receive([told("B", "page", firing=False)])
    assert values(book) == {
        ("storewatch_incidents_unresolved", "page"): 1,
        ("storewatch_incidents_unresolved", "ticket"): 1,
        ("storewatch_incidents_opened", "page"): 2,
        ("storewatch_incidents_opened", "ticket"): 1,
    }


class Archive:
    def __init__(self, state: WalArchive | None) -> None:
        self.archive = lambda: state


def test_the_wal_archive_is_told_by_tier_and_not_at_all_where_none_ran() -> None:
    assert list(WalCollector(Archive(None)).collect()) == []
    tiers = (ArchivedTier("local", 0.0, 0, False), ArchivedTier("cloud", None, None, True))
    archive = Archive(WalArchive(1_770_000_000.0, True, False, tiers))
    told = {
        (sample.name.removeprefix("storewatch_wal_archive_"), sample.labels.get("tier", "")): (
            sample.value
        )
        for family in WalCollector(archive).collect()
        for sample in family.samples
    }
    assert told == {
        ("up", ""): 1,
        ("timestamp_seconds", ""): 1_770_000_000,
        ("receiving", ""): 1,
        ("broken", ""): 0,
        ("lag_seconds", "local"): 0,
        ("lag_bytes", "local"): 0,
        ("degraded", "local"): 0,
        ("degraded", "cloud"): 1,
    }
