"""Counters out of a database that may fall: after a fall they go on from where they were.

Two things make `count(*)` fall. The node that answers is behind the one that answered before: it
catches up within moments, and until then the counter rests. Or the data itself is older, as after
a restore: then what is counted from there on is new, and the counter goes on from its peak.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from storewatch.store.files import write_atomic

_SETTLE_S = 120.0
"""A standby that is behind for longer is an incident of its own (DatabaseReplicaLagging)."""

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Counter:
    """What was published at most, and what is added to the database's number to get there."""

    peak: float
    offset: float = 0.0
    below_since: float | None = None


class MonotonicCounters:
    """Counters by name and labels, kept in a file so that a restart is no second beginning.

    Args:
        file: where they are kept; its folder exists.
        clock: monotonic seconds.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._counters: dict[Key, _Counter] = {}
        self._saved = b""
        self._restore()

    def advance(self, name: str, labels: Mapping[str, str], number: float) -> float:
        """Return what to publish for the database's number."""
        key = (name, tuple(sorted(labels.items())))
        counter = self._counters.setdefault(key, _Counter(number))
        if number + counter.offset >= counter.peak:
            counter.peak, counter.below_since = number + counter.offset, None
        elif counter.below_since is None:
            counter.below_since = self._clock()
        elif self._clock() - counter.below_since >= _SETTLE_S:
            counter.offset, counter.below_since = counter.peak - number, None
        return counter.peak

    def known(self, name: str) -> list[dict[str, str]]:
        """Return the labels that a counter was published with."""
        return [dict(labels) for known, labels in self._counters if known == name]

    def save(self) -> None:
        """Write what changed since the last time.

        Raises:
            OSError: the file cannot be written.
        """
        content = orjson.dumps(
            [[*key, counter.peak, counter.offset] for key, counter in self._counters.items()]
        )
        if content != self._saved:
            write_atomic(self._file, content, mode=0o600)
            self._saved = content

    def _restore(self) -> None:
        try:
            entries = orjson.loads(self._file.read_bytes())
            for name, labels, peak, offset in entries:
                key = (str(name), tuple((str(k), str(v)) for k, v in labels))
                self._counters[key] = _Counter(float(peak), float(offset))
        except (OSError, ValueError, TypeError):
            self._counters.clear()  # as at the very first start
