"""How numbers and moments are written for people."""

from datetime import datetime


def number(value: float | None, unit: str = "") -> str:
    """Write a value for people: times in ms, s, min or h, bytes in powers of 1024."""
    if value is None:
        return "-"
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        scaled, prefixes = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
        while scaled >= 1024 and len(prefixes) > 1:
            scaled /= 1024
            prefixes.pop(0)
        return f"{scaled:.1f} {prefixes[0]}" if prefixes[0] != "B" else f"{scaled:.0f} B"
    if unit == "ratio":
        return f"{_digits(value * 100)} %"
    text = f"{value:,.0f}" if float(value).is_integer() else _digits(value)
    if value == 1 and len(unit) > 2:
        unit = unit.removesuffix("es" if unit.endswith("sses") else "s")
    return f"{text} {unit}".strip()


def rate(per_s: float) -> str:
    """Write a rate for people, in full, with a tenth where it is not whole."""
    return f"{per_s:,.1f}".removesuffix(".0")


def _digits(value: float) -> str:
    """Write three digits, large numbers in full: nobody reads 1.23e+03."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 3600:
        return f"{_digits(value / 3600)} h"
    if size >= 600:
        return f"{_digits(value / 60)} min"
    if size >= 1 or size == 0:
        return f"{value:.1f} s" if size else "0 s"
    return f"{_digits(value * 1000)} ms"


def moment(value: datetime) -> str:
    """Write a moment for people, in UTC."""
    return value.strftime("%Y-%m-%d %H:%M:%S UTC")
