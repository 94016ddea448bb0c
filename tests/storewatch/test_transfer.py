"""Progress of a transfer in one line."""

import pytest

from storewatch.cli.transfer import transfer_line

MIB = 1 << 20


@pytest.mark.parametrize(
    ("done", "total", "elapsed_s", "line"),
    [
        (0, None, 0.0, "fetch: 0 B"),
        (0, 4 * MIB, 1.0, "fetch: 0 B of 4.0 MiB, 0%"),
        (MIB, 4 * MIB, 2.0, "fetch: 1.0 MiB of 4.0 MiB, 25%, 512.0 KiB/s, 6.0 s left"),
        (4 * MIB, 4 * MIB, 2.0, "fetch: 4.0 MiB of 4.0 MiB, 100%, 2.0 MiB/s"),
        (MIB, None, 2.0, "fetch: 1.0 MiB, 512.0 KiB/s"),
    ],
)
def test_a_line_says_bytes_rate_and_time_left(
    done: int, total: int | None, elapsed_s: float, line: str
) -> None:
    assert transfer_line("fetch", done, total, elapsed_s) == line
