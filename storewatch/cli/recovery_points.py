"""Rows and JSON of `backup list`."""

from collections.abc import Mapping
from typing import Any

from backup.catalogue import RecoveryPoint, Standing
from backup.wal.reach import Reach
from storewatch.core.clock import rfc3339
from storewatch.core.figures import moment, number

Reaches = Mapping[str, Mapping[str, Reach]]

POINT_COLUMNS = (
    "recovery point", "kind", "of", "restorable to", "stored", "tiers", "state", "kept",
)  # fmt: skip


def point_json(point: RecoveryPoint, reaches: Reaches, broken: Mapping[str, str]) -> dict[str, Any]:
    """Return a recovery point for machines."""
    manifest = point.manifest
    return {
        "id": manifest.id,
        "kind": manifest.kind,
        "parent": manifest.parent,
        "finished_at": rfc3339(manifest.finished_at),
        "stored_bytes": manifest.stored_bytes,
        "tiers": list(point.tiers),
        "restorable": {
            tier: reach.to_json() for tier, reach in reaches.get(manifest.id, {}).items()
        },
        "problems": [*manifest.problems, *_broken(point, broken)],
        "standing": {tier: _standing_json(one) for tier, one in point.standing.items()},
    }


def _standing_json(standing: Standing) -> dict[str, Any]:
    judgement = standing.judgement
    return {
        "verified_at": standing.verified_at and rfc3339(standing.verified_at),
        "pinned": judgement.point.pinned or None,
        "kept": judgement.kept,
        "why": judgement.reasons,
        "until": judgement.until and rfc3339(judgement.until),
    }


def _kept(point: RecoveryPoint) -> str:
    """Say for each tier why a copy stays and when it was read; tiers that agree share it."""
    said: dict[str, list[str]] = {}
    for tier, one in point.standing.items():
        why = next(iter(one.judgement.reasons), "goes with the next prune")
        until = f", until {one.judgement.until:%Y-%m-%d}" if one.judgement.until else ""
        read = f", read {one.verified_at:%Y-%m-%d}" if one.verified_at else ""
        said.setdefault(f"{why}{until}{read}", []).append(tier)
    if len(said) == 1:
        return next(iter(said))
    return "\n".join(f"{', '.join(tiers)}: {text}" for text, tiers in said.items())


def _broken(point: RecoveryPoint, broken: Mapping[str, str]) -> list[str]:
    return [broken[point.manifest.id]] if point.manifest.id in broken else []


def point_row(point: RecoveryPoint, reaches: Reaches, broken: Mapping[str, str]) -> tuple[Any, ...]:
    """Return a recovery point as a row of the table."""
    manifest = point.manifest
    found = reaches.get(manifest.id, {})
    best = max(found.values(), key=lambda one: one.until, default=None)
    until = "" if best is None else moment(best.until)
    states = _broken(point, broken) or ["partial" if manifest.problems else "whole"]
    states += [f"{one.missing} missing in {tier}" for tier, one in found.items() if one.missing]
    return (
        manifest.id,
        manifest.kind,
        moment(manifest.finished_at),
        until,
        number(manifest.stored_bytes, "bytes"),
        ", ".join(point.tiers),
        "; ".join(states),
        _kept(point),
    )
