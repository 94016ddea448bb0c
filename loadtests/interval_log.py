"""The latency of each window as an HdrHistogram log, for the tools that read those."""

from pathlib import Path
from typing import Any

from loadtests.histogram import HIGHEST_US, Histogram


class IntervalLog:
    """Writes one line a window; the file is made with the first.

    Values are microseconds, the column of the maximum is milliseconds, times are seconds from the
    beginning of the run. Source: HdrHistogram, log format 1.2.

    Args:
        path: of the file.
        window_s: what a line covers.
    """

    def __init__(self, path: Path, window_s: int) -> None:
        self._path = path
        self._window_s = window_s
        self._writer: Any = None

    def write(self, start_s: int, window: Histogram) -> None:
        """Write what was recorded in the window that began then."""
        from hdrh.histogram import HdrHistogram

        if self._writer is None:
            self._writer = self._begun()
        found = HdrHistogram(1, HIGHEST_US, 3)
        for value_us, times in window.counts.items():
            found.record_value(value_us, times)
        found.set_start_time_stamp(start_s * 1000)
        found.set_end_time_stamp((start_s + self._window_s) * 1000)
        self._writer.output_interval_histogram(found, max_value_unit_ratio=1000.0)

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _begun(self) -> Any:
        from hdrh.log import HistogramLogWriter

        writer = HistogramLogWriter(self._path.open("w"))
        writer.output_comment("[storewatch: latency from the intended start, stages that count]")
        writer.output_log_format_version()
        writer.output_legend()
        return writer
