"""How long a recovery of production's size would take, as far as a smaller drill can tell."""

from dataclasses import dataclass

from backup.settings import ProductionSettings
from storewatch.core.evidence import Measurement

_LEAST_REDO_S = 0.01
"""The server logs hundredths of a second; less counts as one, so that the estimate is not 0."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a drill took; members as in `backup.drill_findings.Findings`."""

    restored_bytes: int
    unpack_s: float
    replay_s: float | None
    redo_s: float | None
    wal_bytes: int | None
    verify_s: float
    application_up_s: float | None


def estimate(
    production: ProductionSettings | None, run: Run | None
) -> tuple[list[Measurement], list[str]]:
    """Scale a drill to production and say what was assumed.

    With B, W the bytes and WAL bytes of production, b, w those of the drill:

        extrapolated_replay_s = (replay_s - redo_s) + redo_s * W / w
        extrapolated_recovery_time_s = (unpack_s + verify_s) * B / b
            + extrapolated_replay_s + application_up_s

    So reading, writing and checking grow with the bytes, replay with the WAL, and neither the
    start of the servers nor that of the application grows. A drill that is small beside production
    tells little: what it found in a cache, production reads from a disk.

    Args:
        production: its size; None for no estimate.
        run: the drill; None when it did not get to its end.

    Returns:
        the measurements, and notes with the numbers that they were made of.
    """
    if production is None or run is None or not run.restored_bytes:
        return [], []
    scale = production.bytes / run.restored_bytes
    total_s = (run.unpack_s + run.verify_s) * scale + (run.application_up_s or 0.0)
    found: list[Measurement] = []
    notes = [
        f"extrapolated by {scale:.3g}, from {run.restored_bytes} to {production.bytes} bytes:"
        " assumes that reading, writing and checking take as long for each byte in production,"
        " on this machine and from this tier, and that servers and application start as fast"
    ]
    if run.replay_s is not None:
        replay_s, note = _replay(production, run, run.replay_s)
        notes.append(note)
        if replay_s is None:
            return [], notes
        total_s += replay_s
        found.append(Measurement("extrapolated_replay_s", round(replay_s, 3), "s"))
    found.insert(0, Measurement("extrapolated_recovery_time_s", round(total_s, 3), "s"))
    return found, notes


def _replay(production: ProductionSettings, run: Run, replay_s: float) -> tuple[float | None, str]:
    if run.redo_s is None or not run.wal_bytes:
        return None, "not extrapolated: the restored server does not say how long it replayed WAL"
    redo_s = max(run.redo_s, _LEAST_REDO_S)
    scale = production.wal_bytes / run.wal_bytes
    note = (
        f"replay extrapolated by {scale:.3g}, from {run.wal_bytes} to {production.wal_bytes} bytes"
        f" of WAL: assumes that each byte is replayed as fast as here ({redo_s:g} s for all)"
    )
    return max(0.0, replay_s - redo_s) + redo_s * scale, note
