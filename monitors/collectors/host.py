"""The host, by psutil, under node_exporter's names."""

import time
from collections.abc import Iterable

import psutil
from prometheus_client.core import Metric

from monitors.families import counter, gauge, value
from monitors.settings import HostSettings


class HostCollector:
    """CPU, memory, load, file systems, disks and network of this machine."""

    name = "host"

    def __init__(self, settings: HostSettings) -> None:
        self.timeout_s = settings.timeout
        self._filesystems = [str(path) for path in settings.filesystems]

    def collect(self) -> Iterable[Metric]:
        """Read the counters of the kernel."""
        yield value("storewatch_host_up", "Whether the host's figures could be read.", 1)
        yield from self._processor()
        yield from self._memory()
        yield from self._files()
        yield from self._traffic()

    def down(self) -> Iterable[Metric]:
        """Say that the host's figures could not be read."""
        yield value("storewatch_host_up", "Whether the host's figures could be read.", 0)

    @staticmethod
    def _processor() -> Iterable[Metric]:
        yield counter(
            "node_cpu_seconds",
            "Seconds the CPUs spent in each mode.",
            [
                ({"cpu": str(number), "mode": mode}, seconds)
                for number, times in enumerate(psutil.cpu_times(percpu=True))
                for mode, seconds in times._asdict().items()
                if mode not in ("guest", "guest_nice")  # contained in user and nice
            ],
        )
        for minutes, load in zip((1, 5, 15), psutil.getloadavg(), strict=True):
            yield value(f"node_load{minutes}", f"{minutes} min load average.", load)
        yield value("node_boot_time_seconds", "Unix time of the start.", psutil.boot_time())
        yield value("node_time_seconds", "Unix time of the host's clock.", time.time())

    @staticmethod
    def _memory() -> Iterable[Metric]:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        for name, size in (
            ("MemTotal", memory.total),
            ("MemAvailable", memory.available),
            ("MemFree", memory.free),
            ("SwapTotal", swap.total),
            ("SwapFree", swap.free),
        ):
            yield value(f"node_memory_{name}_bytes", f"{name} of /proc/meminfo.", size)

    def _files(self) -> Iterable[Metric]:
        sizes, available = [], []
        for mountpoint in self._filesystems:
            usage = psutil.disk_usage(mountpoint)
            sizes.append(({"mountpoint": mountpoint}, float(usage.total)))
            available.append(({"mountpoint": mountpoint}, float(usage.free)))
        yield gauge("node_filesystem_size_bytes", "Size of the file system.", sizes)
        yield gauge("node_filesystem_avail_bytes", "Space an ordinary user may use.", available)
        disks = psutil.disk_io_counters(perdisk=True) or {}
        for name, field in (("read", "read_bytes"), ("written", "write_bytes")):
            yield counter(
                f"node_disk_{name}_bytes",
                f"Bytes {name}.",
                [({"device": device}, getattr(io, field)) for device, io in disks.items()],
            )

    @staticmethod
    def _traffic() -> Iterable[Metric]:
        network = psutil.net_io_counters(pernic=True)
        for direction, prefix in (("receive", "recv"), ("transmit", "sent")):
            yield counter(
                f"node_network_{direction}_bytes",
                f"Bytes in direction {direction}.",
                [
                    ({"device": device}, getattr(io, f"bytes_{prefix}"))
                    for device, io in network.items()
                ],
            )
