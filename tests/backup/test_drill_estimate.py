"""How long production would take, and which orders it would lose."""

import pytest
from backup_house import House
from loopback import free_port
from pydantic import ValidationError

from backup.drill import run_drill
from backup.drill_estimate import Run, estimate
from backup.settings import ProductionSettings
from storewatch.core.targets import Verdict

RUN = Run(
    restored_bytes=1000,
    unpack_s=2.0,
    replay_s=5.0,
    redo_s=3.0,
    wal_bytes=100,
    verify_s=1.0,
    application_up_s=4.0,
)
LOST = (
    "SELECT count(*) FROM orders WHERE key LIKE 'lost-%%'"
    " AND created_at > %(until)s AND created_at <= %(begun)s"
)


def test_a_drill_is_scaled_by_bytes_its_replay_by_wal_and_no_start_by_anything() -> None:
    found, notes = estimate(ProductionSettings(bytes=10_000, wal_bytes=400), RUN)
    values = {one.name: one.value for one in found}
    assert values["extrapolated_replay_s"] == (5 - 3) + 3 * 4
    assert values["extrapolated_recovery_time_s"] == (2 + 1) * 10 + 14 + 4
    assert "by 10, from 1000 to 10000 bytes" in notes[0]
    assert "by 4, from 100 to 400 bytes of WAL" in notes[1]


def test_what_is_not_known_is_not_extrapolated() -> None:
    size = ProductionSettings(bytes=10_000, wal_bytes=400)
    assert estimate(None, RUN) == ([], [])
    assert estimate(size, None) == ([], [])
    silent = Run(1000, 2.0, 5.0, None, 100, 1.0, None)
    found, notes = estimate(size, silent)
    assert found == []
    assert "does not say how long" in notes[1]
    (only,), _notes = estimate(size, Run(1000, 2.0, None, None, None, 1.0, None))
    assert only.value == 30


def test_a_drill_tells_how_long_production_would_take(copy: House) -> None:
    copy.raw["drill"]["production"] = {"bytes": 10**12, "wal_bytes": 10**9}
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict is Verdict.PASS, drilled.notes
    total_s = drilled.value("extrapolated_recovery_time_s")
    replay_s = drilled.value("extrapolated_replay_s")
    restored = next(note for note in drilled.notes if note.startswith("extrapolated by"))
    size = int(restored.split(" from ")[1].split()[0])
    assert size > drilled.value("bytes") / 2
    assert total_s > replay_s + drilled.value("verify_s") * 10**12 / size
    assert replay_s > drilled.value("replay_s")
    assert 0 < drilled.value("wal_bytes") < 10**9


def test_the_recovery_point_is_told_in_orders(copy: House) -> None:
    copy.raw["drill"]["orders_lost_query"] = LOST
    place = "INSERT INTO orders (key, total_cents, created_at) VALUES (%s, 77, now() + %s)"
    with copy.shop.connect() as one:
        for key, moved in (("lost-1", "0s"), ("lost-2", "0s"), ("lost-3", "1h"), ("lost-4", "-1d")):
            one.execute(place, (key, moved))
    try:
        drilled = run_drill(copy.settings, "local", copy.evidence)
    finally:
        with copy.shop.connect() as one:
            one.execute("DELETE FROM orders WHERE key LIKE 'lost-%'")
    assert drilled.verdict is Verdict.PASS, drilled.notes
    assert drilled.value("recovery_point_orders") == 2


@pytest.mark.parametrize(
    ("url", "query", "said"),
    [
        ("postgresql://storewatch_backup@127.0.0.1:{}/shop", LOST, "production does not answer"),
        ("", "DELETE FROM notes WHERE %(until)s IS NULL RETURNING 1", "read-only transaction"),
        ("", "SELECT 'many' WHERE %(until)s::timestamptz IS NOT NULL", "returns no number"),
    ],
)
def test_a_production_that_does_not_answer_leaves_the_orders_out_and_says_so(
    copy: House, url: str, query: str, said: str
) -> None:
    copy.raw["drill"]["orders_lost_query"] = query
    copy.raw["sources"]["postgres"]["url"] = url.format(free_port()) or copy.shop.url
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.value("recovery_point_orders") is None
    (note,) = (one for one in drilled.notes if one.startswith("recovery point in orders"))
    assert said in note


def test_a_query_that_does_not_ask_since_when_is_refused(copy: House) -> None:
    copy.raw["drill"]["orders_lost_query"] = "SELECT count(*) FROM orders"
    with pytest.raises(ValidationError, match="does not say since when"):
        _ = copy.settings
