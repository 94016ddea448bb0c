"""How a database node starts: every case of the decision, without a server."""

import pytest

from storefront.engines.postgres.decide import Step, next_step
from storefront.engines.postgres.node import Data, Record, Role
from storefront.errors import EngineError

A, B = Record("db-a", synchronous=True), Record("db-b", synchronous=False)


@pytest.mark.parametrize(
    ("name", "own", "record", "peer", "peer_has_data", "expected"),
    [
        ("db-a", Data.EMPTY, None, Role.REFUSED, False, Step.INITIALISE),
        ("db-b", Data.EMPTY, None, Role.REFUSED, False, Step.WAIT),
        ("db-a", Data.EMPTY, None, Role.REFUSED, True, Step.WAIT),
        ("db-a", Data.EMPTY, A, Role.REFUSED, False, Step.INITIALISE),
        ("db-b", Data.EMPTY, A, Role.PRIMARY, True, Step.CLONE),
        ("db-a", Data.PRIMARY, A, Role.REFUSED, True, Step.SERVE),
        ("db-a", Data.PRIMARY, A, Role.STANDBY, True, Step.SERVE),
        ("db-a", Data.PRIMARY, A, Role.PRIMARY, True, Step.REWIND),
        ("db-a", Data.PRIMARY, B, Role.REFUSED, True, Step.WAIT),
        ("db-a", Data.PRIMARY, B, Role.SILENT, True, Step.WAIT),
        ("db-a", Data.PRIMARY, B, Role.PRIMARY, True, Step.REWIND),
        ("db-a", Data.EMPTY, B, Role.SILENT, True, Step.WAIT),
        ("db-b", Data.STANDBY, A, Role.PRIMARY, True, Step.SERVE),
        ("db-b", Data.STANDBY, B, Role.REFUSED, True, Step.SERVE),
    ],
)
def test_a_node_never_starts_as_a_second_primary(
    name: str, own: Data, record: Record | None, peer: Role, peer_has_data: bool, expected: Step
) -> None:
    assert next_step(name, own, record, peer, peer_has_data=peer_has_data) is expected


@pytest.mark.parametrize(
    ("own", "record", "hint"),
    [(Data.EMPTY, A, "promote the other"), (Data.PRIMARY, None, "cluster.json is missing")],
)
def test_where_only_an_operator_can_know_the_node_says_so(
    own: Data, record: Record | None, hint: str
) -> None:
    with pytest.raises(EngineError, match=hint):
        next_step("db-a", own, record, Role.REFUSED, peer_has_data=True)
