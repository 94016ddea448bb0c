from pathlib import Path

import psutil
import pytest
from watching import one, samples

from monitors.collectors.host import HostCollector
from monitors.settings import HostSettings


def test_the_hosts_figures_carry_node_exporters_names() -> None:
    found = list(HostCollector(HostSettings()).collect())
    assert one(found, "storewatch_host_up") == 1
    assert one(found, "node_memory_MemTotal_bytes") == psutil.virtual_memory().total
    assert one(found, "node_filesystem_size_bytes", mountpoint="/") > 0
    assert one(found, "node_cpu_seconds_total", cpu="0", mode="idle") > 0
    assert one(found, "node_load1") >= 0
    names = {key[0] for key in samples(found)}
    assert {"node_network_receive_bytes_total", "node_boot_time_seconds"} <= names


def test_a_file_system_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    settings = HostSettings(filesystems=(tmp_path / "none",))
    with pytest.raises(FileNotFoundError):
        list(HostCollector(settings).collect())
    assert one(list(HostCollector(settings).down()), "storewatch_host_up") == 0
