from collections.abc import Sequence

import pytest

from loadtests.saturation import said, saturation
from loadtests.settings import ResourceSettings

RESOURCES = {
    "processor": ResourceSettings(query="cpu", limit=0.9),
    "connections": ResourceSettings(query="pool", limit=0.8),
    "locks": ResourceSettings(query="locks", limit=5),
}
BEGAN = 1000.0


def answer(**values: Sequence[float | None]) -> str:
    """Say what filled up, of values by query, five seconds apart."""

    def ask(
        query: str, start: float, end: float, step_s: float
    ) -> list[tuple[float, float | None]]:
        assert (start, end) == (BEGAN, BEGAN + 60)
        return [(BEGAN + step_s * n, value) for n, value in enumerate(values.get(query, ()))]

    return said(saturation(RESOURCES, ask, BEGAN, BEGAN + 60))


def test_the_resource_that_filled_up_first_is_named() -> None:
    found = answer(cpu=[0.1, 0.2, 0.91, 0.95, 0.99], pool=[0.1, 0.85, 0.9, 0.9, 0.9], locks=[0] * 5)
    assert found == "saturated first: connections, from second 5 on"


def test_one_sample_at_the_limit_is_no_saturation() -> None:
    found = answer(cpu=[0.1, 0.99, 0.1, 0.99, 0.1], pool=[0.2] * 5, locks=[1] * 5)
    assert found == "nothing saturated; nearest was processor: 110% of its limit"


@pytest.mark.parametrize("gap", [None, 0.1])
def test_a_gap_ends_what_is_in_a_row(gap: float | None) -> None:
    found = answer(cpu=[0.95, gap, 0.95, gap], pool=[0.2] * 4, locks=[0] * 4)
    assert found.startswith("nothing saturated")


def test_what_prometheus_does_not_know_is_named() -> None:
    found = answer(cpu=[0.1, 0.2], pool=[0.1, 0.2])
    assert found == (
        "nothing saturated; nearest was connections: 25% of its limit;"
        " Prometheus knows nothing of: locks"
    )
    assert answer().startswith("what saturated is not known; Prometheus knows nothing of: ")
    assert said([]) == ""
