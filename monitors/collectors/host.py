"""The host under node_exporter's names, from Linux' /proc.

Source: proc(5); names, labels and units as in node_exporter (cpu, meminfo, loadavg, filesystem,
diskstats, netdev, stat, vmstat, filefd, pressure, uname).
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
from prometheus_client.core import Metric

from monitors.families import counter, gauge, unknown, value
from monitors.settings import HostSettings

_UP = "Whether the host's figures could be read."
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SECTOR_BYTES = 512  # of /proc/diskstats, whatever the disk's own is
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_MAXIMUM_DEVICES = 64
# Containers bring a pair of interfaces each, with a new name every time.
_PASSING = ("veth", "docker", "br-", "cali", "lo")
_DISK = (  # metric without _total, field of diskstats, factor
    ("node_disk_reads_completed", 3, 1.0),
    ("node_disk_read_bytes", 5, _SECTOR_BYTES),
    ("node_disk_read_time_seconds", 6, 0.001),
    ("node_disk_writes_completed", 7, 1.0),
    ("node_disk_written_bytes", 9, _SECTOR_BYTES),
    ("node_disk_write_time_seconds", 10, 0.001),
    ("node_disk_io_time_seconds", 12, 0.001),
    ("node_disk_io_time_weighted_seconds", 13, 0.001),
)
_FILESYSTEM: tuple[tuple[str, str, Callable[[os.statvfs_result], float]], ...] = (
    ("node_filesystem_size_bytes", "Size.", lambda u: u.f_blocks * u.f_frsize),
    ("node_filesystem_free_bytes", "Free space.", lambda u: u.f_bfree * u.f_frsize),
    ("node_filesystem_avail_bytes", "Space for ordinary users.", lambda u: u.f_bavail * u.f_frsize),
    ("node_filesystem_files", "Inodes.", lambda u: u.f_files),
    ("node_filesystem_files_free", "Free inodes.", lambda u: u.f_ffree),
    ("node_filesystem_readonly", "Whether it is read-only.", lambda u: u.f_flag & os.ST_RDONLY),
)
_NETWORK = ("bytes", "packets", "errs", "drop")
_PAGING = ("oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout")
_PRESSURE = (
    ("node_pressure_cpu_waiting_seconds", "cpu", "some"),
    ("node_pressure_io_waiting_seconds", "io", "some"),
    ("node_pressure_io_stalled_seconds", "io", "full"),
    ("node_pressure_memory_waiting_seconds", "memory", "some"),
    ("node_pressure_memory_stalled_seconds", "memory", "full"),
)


class HostCollector:
    """CPU, memory, load, file systems, disks, network and pressure of this machine.

    Args:
        settings: file systems that are looked at.
        proc: where the kernel tells about itself.
    """

    name = "host"

    def __init__(self, settings: HostSettings, proc: Path = Path("/proc")) -> None:
        self.timeout_s = settings.timeout
        self._filesystems = [str(path) for path in settings.filesystems]
        self._proc = proc

    def collect(self) -> Iterable[Metric]:
        """Read the counters of the kernel."""
        yield value("storewatch_host_up", _UP, 1)
        yield from self._processor()
        yield from self._memory()
        yield from self._files()
        yield from self._disks()
        yield from self._network()
        yield from self._pressure()
        system = os.uname()
        yield value(
            "node_uname_info",
            "Who the kernel is.",
            1,
            sysname=system.sysname,
            release=system.release,
            version=system.version,
            machine=system.machine,
            nodename=system.nodename,
            domainname=(self._proc / "sys/kernel/domainname").read_text().strip(),
        )

    def down(self) -> Iterable[Metric]:
        """Say that the host's figures could not be read."""
        yield value("storewatch_host_up", _UP, 0)

    def _rows(self, name: str) -> Iterator[list[str]]:
        """Return a file of /proc as words by line."""
        return (line.split() for line in (self._proc / name).read_text().splitlines())

    def _processor(self) -> Iterable[Metric]:
        rows = [row for row in self._rows("stat") if row]
        yield counter(
            "node_cpu_seconds",
            "Seconds the CPUs spent in each mode.",
            [
                ({"cpu": row[0][3:], "mode": mode}, int(ticks) / _TICKS_PER_S)
                for row in rows
                if row[0].startswith("cpu") and row[0] != "cpu"
                for mode, ticks in zip(_MODES, row[1:], strict=False)
            ],
        )
        numbers = {row[0]: float(row[1]) for row in rows}
        yield value("node_boot_time_seconds", "Unix time of the start.", numbers["btime"])
        yield value("node_procs_running", "Processes that could run.", numbers["procs_running"])
        yield value("node_procs_blocked", "Processes that wait for I/O.", numbers["procs_blocked"])
        for name, field in (
            ("node_context_switches", "ctxt"),
            ("node_forks", "processes"),
            ("node_intr", "intr"),
        ):
            yield counter(name, f"{field} of /proc/stat.", [({}, numbers[field])])
        loads = next(self._rows("loadavg"))
        for minutes, load in zip((1, 5, 15), loads, strict=False):
            yield value(f"node_load{minutes}", f"{minutes} min load average.", float(load))
        yield value("node_time_seconds", "Unix time of the host's clock.", time.time())

    def _memory(self) -> Iterable[Metric]:
        for name, size, *unit in self._rows("meminfo"):
            field = name.rstrip(":").replace("(", "_").replace(")", "")
            suffix, factor = ("_bytes", 1024) if unit else ("", 1)
            metric = f"node_memory_{field}{suffix}"
            yield value(metric, f"{field} of /proc/meminfo.", float(size) * factor)
        for name, count in self._rows("vmstat"):
            if name in _PAGING:
                metric = f"node_vmstat_{name}"
                yield unknown(metric, f"{name} of /proc/vmstat.", [({}, float(count))])
        allocated, _, maximum = next(self._rows("sys/fs/file-nr"))
        yield value("node_filefd_allocated", "Open files of all processes.", float(allocated))
        yield value("node_filefd_maximum", "Limit of open files.", float(maximum))

    def _files(self) -> Iterable[Metric]:
        mounts = {part.mountpoint: part for part in psutil.disk_partitions(all=True)}
        found = []
        for mountpoint in self._filesystems:
            usage, mount = os.statvfs(mountpoint), mounts.get(mountpoint)
            device, kind = (mount.device, mount.fstype) if mount else ("", "")
            found.append(({"device": device, "fstype": kind, "mountpoint": mountpoint}, usage))
        for metric, documentation, read in _FILESYSTEM:
            yield gauge(metric, documentation, [(labels, read(u)) for labels, u in found])

    def _disks(self) -> Iterable[Metric]:
        rows = [
            row
            for row in self._rows("diskstats")
            if not row[2].startswith(("loop", "ram", "fd")) and self._whole(row[2])
        ][:_MAXIMUM_DEVICES]
        for name, field, factor in _DISK:
            yield counter(
                name,
                f"Field {field - 2} of /proc/diskstats.",
                [({"device": row[2]}, int(row[field]) * factor) for row in rows],
            )

    @staticmethod
    def _whole(device: str) -> bool:
        """Tell a disk from its partitions."""
        return (Path("/sys/block") / device).exists()

    def _network(self) -> Iterable[Metric]:
        lines = (self._proc / "net/dev").read_text().splitlines()[2:]
        devices = [
            (name.strip(), rest.split())
            for name, _, rest in (line.partition(":") for line in lines)
        ]
        kept = [(n, fields) for n, fields in devices if not n.startswith(_PASSING)]
        for direction, offset in (("receive", 0), ("transmit", 8)):
            for index, what in enumerate(_NETWORK):
                yield counter(
                    f"node_network_{direction}_{what}",
                    f"{what} in direction {direction}.",
                    [
                        ({"device": name}, float(fields[offset + index]))
                        for name, fields in kept[:_MAXIMUM_DEVICES]
                    ],
                )

    def _pressure(self) -> Iterable[Metric]:
        """Return pressure stalls where the kernel counts them."""
        for name, resource, kind in _PRESSURE:
            try:
                totals = {row[0]: row[-1] for row in self._rows(f"pressure/{resource}")}
            except OSError:  # no PSI in this kernel, or switched off
                continue
            if kind in totals:
                micros = float(totals[kind].removeprefix("total="))
                yield counter(name, "Time some or all tasks waited.", [({}, micros / 1e6)])
