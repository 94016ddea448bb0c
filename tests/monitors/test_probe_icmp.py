"""Echo requests to this machine, where the kernel permits them and where it does not."""

import ctypes
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fault_server import Faults
from probing import Answered, ask, exporter, write_modules

from monitors.probes.icmp import packet

PROTOCOLS = {
    "127.0.0.1": (socket.AF_INET, socket.IPPROTO_ICMP),
    "::1": (socket.AF_INET6, socket.IPPROTO_ICMPV6),
}
NOT_PERMITTED = (
    "ICMP is not permitted here; widen net.ipv4.ping_group_range to the exporter's group, or give"
    " it CAP_NET_RAW"
)


def icmp(**keys: Any) -> dict[str, Any]:
    return {"prober": "icmp", "timeout": "2s", "icmp": keys}


MODULES = {
    "echo": icmp(),
    "large": icmp(payload_size=1001, ttl=7, dont_fragment=True),
    "elsewhere": icmp(source_ip_address="192.0.2.1", preferred_ip_protocol="ip4"),
}


def as_we_are() -> None:
    """Leave the thread's rights alone."""


def without_capabilities() -> None:
    """Give up every capability of this thread and of those it starts.

    Source: capset(2), which is about one thread; version 3 of its header, two empty sets.
    """
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    assert ctypes.CDLL(None).capset(header, ctypes.create_string_buffer(24)) == 0


Prepare = Callable[[], None]


def kernel_permits(target: str, prepare: Prepare) -> bool:
    """Tell whether a thread so prepared may open any socket for ICMP."""
    family, protocol = PROTOCOLS[target]

    def opens() -> bool:
        prepare()
        for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                socket.socket(family, kind, protocol).close()
            except PermissionError:
                continue
            return True
        return False

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(opens).result()


@pytest.fixture(params=[as_we_are, without_capabilities])
def prepare(request: pytest.FixtureRequest) -> Prepare:
    rights: Prepare = request.param
    return rights


@pytest.fixture
def ours(faults: Faults, tmp_path: Path, prepare: Prepare) -> Iterator[str]:
    with exporter(write_modules(tmp_path, faults, MODULES), prepare) as address:
        yield address


def steps(ours: str, target: str, module: str) -> list[str]:
    """The steps of a probe without the time of day."""
    explained = ask(ours, target=target, module=module, debug="true")
    lines = explained.part("Logs for the probe").splitlines()
    return [line.partition(" ")[2] for line in lines]


@pytest.mark.parametrize("target", PROTOCOLS)
def test_this_machine_answers_where_the_kernel_permits_and_else_one_line_says_what_to_do(
    ours: str, prepare: Prepare, target: str
) -> None:
    permitted = kernel_permits(target, prepare)
    answered, told = ask(ours, target=target, module="echo"), steps(ours, target, "echo")
    assert answered.status == 200
    assert answered.samples["probe_success"] == permitted
    assert answered.samples["probe_ip_protocol"] == (6 if ":" in target else 4)
    took = {
        phase: answered.samples[f'probe_icmp_duration_seconds{{phase="{phase}"}}']
        for phase in ("resolve", "setup", "rtt")
    }
    if permitted:
        assert answered.samples["probe_icmp_reply_hop_limit"] == 64
        assert 0 < took["rtt"] < answered.samples["probe_duration_seconds"]
        assert told[-1] == "succeeded"
    else:
        assert "probe_icmp_reply_hop_limit" not in answered.samples
        assert took["rtt"] == 0
        assert told[1:] == [NOT_PERMITTED, "failed"]


def test_payload_hop_limit_and_fragments_are_the_modules_own(ours: str, prepare: Prepare) -> None:
    permitted = kernel_permits("127.0.0.1", prepare)
    answered, told = (
        ask(ours, target="127.0.0.1", module="large"),
        steps(ours, "127.0.0.1", "large"),
    )
    assert answered.samples["probe_success"] == permitted
    assert any("bytes=1001" in step for step in told) == permitted


def test_a_source_address_of_somebody_else_is_one_line(ours: str, prepare: Prepare) -> None:
    _, reason, verdict = steps(ours, "127.0.0.1", "elsewhere")
    assert verdict == "failed"
    if kernel_permits("127.0.0.1", prepare):
        assert reason == "no socket for ICMP: Cannot assign requested address"
    else:
        assert reason == NOT_PERMITTED


def test_echoes_at_the_same_time_all_come_back(ours: str, prepare: Prepare) -> None:
    def probe(_: int) -> Answered:
        return ask(ours, target="127.0.0.1", module="echo")

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(probe, range(32)))
    permitted = kernel_permits("127.0.0.1", prepare)
    assert [one.samples["probe_success"] for one in answers] == [permitted] * 32


@pytest.mark.parametrize("content", [b"", b"odd", b"even", b"\xff" * 65000])
def test_the_checksum_of_a_request_makes_its_words_add_up(content: bytes) -> None:
    sent = packet(8, 1234, 65535, content)
    padded = sent + b"\0" * (len(sent) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    assert total % 0xFFFF == 0
    assert sent[8:] == content
