"""Drops of orders that are found in time: ours beside the public adaptive-band rules."""

from alerting.anomaly.backtest import Replay, judge, replay
from alerting.anomaly.season import Span
from benchmarks import adaptive
from benchmarks.figure import Figure
from benchmarks.histories import DAY_S, SHAPES, WITHIN_MINUTES, at, build, dropped
from storewatch.core.targets import Target


def anomaly_drops_found() -> Figure:
    """Count the drops of a day that are found: five histories, four depths.

    Ours count when they are found in time and told until they end, the peer's when they are found
    at all. The table shows both.
    """
    ours, peers = 0, 0
    head = ("history", "left", "ours: found, firing", "adaptive: found, firing")
    print("  {:14} {:>6}  {:>20}  {:>24}".format(*head))
    for name, (shape, calendar) in SHAPES.items():
        for left_ratio, minutes in WITHIN_MINUTES.items():
            fault = Span(at(7, 1, 19.25), at(7, 1, 19.25) + DAY_S)
            history = dropped(build(shape, 8), fault, left_ratio)
            found = replay(history, calendar, faults=[fault])
            peer = judge(fault, adaptive.alarms(history))
            ours += _counts(found.faults[0].delay_s, found.faults[0].covered_ratio, minutes)
            peers += peer.delay_s is not None
            left = "absent" if left_ratio is None else f"{left_ratio:.0%}"
            first = _cell(found.faults[0].delay_s, found.faults[0].covered_ratio)
            second = _cell(peer.delay_s, peer.covered_ratio)
            print(f"  {name:14} {left:>6}  {first:>20}  {second:>24}")
    for name, (shape, calendar) in SHAPES.items():
        _quiet(name, replay(build(shape, 8), calendar), len(adaptive.alarms(build(shape, 8))))
    return Figure(
        "anomaly_drops_found", ours, "of 20", "adaptive bands", float(peers), Target(">=", 1)
    )


def _counts(delay_s: float | None, covered_ratio: float, minutes: int) -> bool:
    return delay_s is not None and delay_s <= 60 * minutes and covered_ratio == 1.0


def _cell(delay_s: float | None, covered_ratio: float) -> str:
    return "never" if delay_s is None else f"{delay_s / 60:.0f} min, {covered_ratio:.0%}"


def _quiet(name: str, ours: Replay, peers: int) -> None:
    print(f"  {name:14}  quiet  {len(ours.alarms):>13} alarms  {peers:>17} alarms")
