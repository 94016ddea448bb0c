from dataclasses import replace
from pathlib import Path

import pytest

from storewatch.config import load_config
from storewatch.core.errors import UsageError
from storewatch.proving import find_failover, find_proof
from storewatch.wiring import Parts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    return Parts(load_config(ROOT / "storewatch.yaml"))


def test_the_first_proof_that_rejoins_is_the_failover_drill(parts: Parts) -> None:
    assert find_failover(parts, None) == find_failover(parts, "primary-killed") == "primary-killed"


def test_a_proof_that_rejoins_nothing_is_no_failover_drill(parts: Parts) -> None:
    with pytest.raises(UsageError, match="'provider-hangs' is no proof with a `rejoin`; there are"):
        find_failover(parts, "provider-hangs")


def test_without_such_a_proof_it_is_said_how_to_write_one(parts: Parts) -> None:
    settings = parts.config.settings
    chaos = settings.chaos.model_copy(update={"proofs": {}})
    config = replace(parts.config, settings=settings.model_copy(update={"chaos": chaos}))
    with pytest.raises(UsageError, match="give the one that kills the primary `rejoin`"):
        find_failover(Parts(config), None)


def test_a_proof_that_is_not_there_is_named_with_those_that_are(parts: Parts) -> None:
    with pytest.raises(UsageError, match=r"no proof 'x' in chaos\.proofs; there are: primary"):
        find_proof(parts, "x")
