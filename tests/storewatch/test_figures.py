import pytest

from storewatch.core.figures import number, rate


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "-"),
        (0.1312, "s", "131 ms"),
        (12.34, "s", "12.3 s"),
        (0, "s", "0 s"),
        (0.0004, "s", "0.4 ms"),
        (7200, "s", "2 h"),
        (900, "s", "15 min"),
        (90, "s", "90.0 s"),
        (1, "processes", "1 process"),
        (1, "tiers", "1 tier"),
        (0, "tiers", "0 tiers"),
        (0.001, "ratio", "0.1 %"),
        (1536, "bytes", "1.5 KiB"),
        (12, "bytes", "12 B"),
        (1200, "requests", "1,200 requests"),
        (1234.5, "", "1,234"),
        (-10.94, "ratio", "-1,094 %"),
        (0.9999, "s", "1,000 ms"),
        (90 * 86_400, "s", "2,160 h"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, unit: str, text: str) -> None:
    assert number(value, unit) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(0.0, "0"), (30.0, "30"), (29.94, "29.9"), (29.98, "30"), (1234.5, "1,234.5")],
)
def test_rates_are_written_in_full(per_s: float, text: str) -> None:
    assert rate(per_s) == text
