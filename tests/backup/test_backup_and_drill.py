"""A recovery point is made of a living shop and restored from every tier."""

import pytest
from backup.backup import run_backup
from backup.catalogue import list_recovery_points, verify
from backup.drill import run_drill
from backup_engines import Writer
from conftest import House
from storewatch.core.targets import Verdict


@pytest.mark.parametrize("tier", ["local", "off-site", "cloud"])
def test_a_backup_taken_under_load_is_restored_from_each_tier(house: House, tier: str) -> None:
    house.shop.redis().flushall()
    house.shop.redis().mset({f"cart:{n}": n for n in range(50)})
    house.shop.redis().set("session:1", "x", px=1)
    with Writer(house.shop) as writer:
        made = run_backup(house.settings, house.evidence)
    assert made.verdict == Verdict.PASS, made.notes
    assert writer.orders > 0
    assert verify(house.settings, tier)[1] == []
    drilled = run_drill(house.settings, tier, house.evidence)
    assert drilled.verdict == Verdict.PASS, drilled.notes
    assert drilled.subject == tier
    assert drilled.value("rows_verified") >= 20 + 500 + 500
    assert list((house.home / "scratch").iterdir()) == [house.home / "scratch" / "lock"]
    print(drilled.to_json())
