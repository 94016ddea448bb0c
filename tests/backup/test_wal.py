"""The WAL archiver on real servers."""

from wal_house import WalHouse, archiving


def test_what_was_committed_is_archived_within_the_interval(wal_house: WalHouse) -> None:
    with archiving(wal_house):
        wal_house.primary.mark(1)
        wal_house.archived_until_now()
        status = wal_house.status()
    assert (status.state, status.errors, status.gaps) == ("receiving", [], [])
    assert status.tiers["local"].last_segment == status.last_segment
    assert wal_house.segments()[-1] == status.last_segment
    assert wal_house.status().state == "stopped"
