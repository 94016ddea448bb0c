"""What a node does when it is started: a pure decision, so that it can be tested case by case."""

from enum import Enum

from storefront.engines.postgres.node import FIRST_PRIMARY, Data, Record, Role
from storefront.errors import EngineError


class Step(Enum):
    """The next thing a starting node does."""

    INITIALISE = "initialise a new cluster"
    SERVE = "serve with the data it has"
    CLONE = "clone the primary"
    REWIND = "rewind to the primary's history"
    WAIT = "wait for the primary"


def next_step(
    name: str, own: Data, record: Record | None, peer_role: Role, *, peer_has_data: bool
) -> Step:
    """Decide how a node starts, so that there are never two primaries.

    Args:
        name: the node's name.
        own: what lies in its folder.
        record: which node the operators made primary, None before the first start.
        peer_role: what the other node answers right now.
        peer_has_data: whether the other node's folder holds a cluster.

    Raises:
        EngineError: no answer is safe without an operator.
    """
    if own is Data.STANDBY:
        return Step.SERVE
    if peer_role is Role.PRIMARY:
        return Step.CLONE if own is Data.EMPTY else Step.REWIND
    if record is None:
        return _without_record(name, own, peer_has_data=peer_has_data)
    if record.primary != name:
        return Step.WAIT
    if own is Data.PRIMARY:
        return Step.SERVE
    if peer_has_data:
        raise EngineError(
            f"{name} is the primary by shop/cluster.json and its folder is empty; promote the other"
            " node (python -m storefront.engines.postgres promote) or restore a backup"
        )
    return Step.INITIALISE


def _without_record(name: str, own: Data, *, peer_has_data: bool) -> Step:
    if own is Data.PRIMARY:
        raise EngineError(
            f"{name} has a primary's data and shop/cluster.json is missing; write"
            f' {{"primary": "{name}", "synchronous": false}} there if it is the newest'
        )
    if name == FIRST_PRIMARY and not peer_has_data:
        return Step.INITIALISE
    return Step.WAIT
