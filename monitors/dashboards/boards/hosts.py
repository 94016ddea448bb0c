"""The hosts: processor, memory, disks, network."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, Variable

_I = 'instance=~"$instance"'


def _rate(metric: str, by: str) -> str:
    return f"sum by (instance, {by}) (rate({metric}{{{_I}}}[$__rate_interval]))"


def board(limits: Limits) -> Board:
    """Return the dashboard of the hosts."""
    return Board(
        "storewatch-hosts",
        "Hosts",
        "Under node_exporter's names. Of what is shown here only a disk that fills pages.",
        (
            Row(
                "Processor and memory",
                (
                    Panel(
                        "Busy",
                        (
                            Query(
                                "1 - avg by (instance) (rate(node_cpu_seconds_total"
                                f'{{{_I},mode="idle"}}[$__rate_interval]))',
                                "{{instance}}",
                            ),
                        ),
                        unit="percentunit",
                    ),
                    Panel(
                        "Load of a minute",
                        (Query(f"node_load1{{{_I}}}", "{{instance}}"),),
                    ),
                    Panel(
                        "Memory available",
                        (
                            Query(
                                f"node_memory_MemAvailable_bytes{{{_I}}}"
                                f" / node_memory_MemTotal_bytes{{{_I}}}",
                                "{{instance}}",
                            ),
                        ),
                        unit="percentunit",
                    ),
                    Panel(
                        "Stalled for want of",
                        (
                            Query(
                                f"rate(node_pressure_cpu_waiting_seconds_total{{{_I}}}"
                                "[$__rate_interval])",
                                "processor",
                                "the kernel has no pressure stall information",
                            ),
                            Query(
                                f"rate(node_pressure_memory_waiting_seconds_total{{{_I}}}"
                                "[$__rate_interval])",
                                "memory",
                                "the kernel has no pressure stall information",
                            ),
                            Query(
                                f"rate(node_pressure_io_waiting_seconds_total{{{_I}}}"
                                "[$__rate_interval])",
                                "disk",
                                "the kernel has no pressure stall information",
                            ),
                        ),
                        unit="percentunit",
                    ),
                    Panel(
                        "Open files",
                        (Query(f"node_filefd_allocated{{{_I}}}", "{{instance}}"),),
                    ),
                    Panel(
                        "Up for",
                        (Query(f"node_time_seconds{{{_I}}} - node_boot_time_seconds{{{_I}}}"),),
                        unit="s",
                        kind="stat",
                    ),
                ),
            ),
            Row(
                "Disks and network",
                (
                    Panel(
                        "Space used",
                        (
                            Query(
                                f"1 - node_filesystem_avail_bytes{{{_I}}}"
                                f" / node_filesystem_size_bytes{{{_I}}}",
                                "{{instance}} {{mountpoint}}",
                            ),
                        ),
                        unit="percentunit",
                        bounds=(
                            (1 - limits.disk_free_ratio_ticket, "orange"),
                            (1 - limits.disk_free_ratio_page, "red"),
                        ),
                        alert="DiskFilling",
                    ),
                    Panel(
                        "Disk busy",
                        (
                            Query(
                                _rate("node_disk_io_time_seconds_total", "device"),
                                "{{device}}",
                                "a container may see no disk",
                            ),
                        ),
                        unit="percentunit",
                    ),
                    Panel(
                        "Network",
                        (
                            Query(
                                _rate("node_network_receive_bytes_total", "device"),
                                "{{device}} in",
                            ),
                            Query(
                                _rate("node_network_transmit_bytes_total", "device"),
                                "{{device}} out",
                            ),
                        ),
                        unit="Bps",
                    ),
                ),
            ),
        ),
        (Variable("instance", "Host", "node_load1, instance"),),
    )
