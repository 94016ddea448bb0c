"""Every SLO file, whatever its format, as objectives."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alerting.openslo import VERSIONS, OpenSlo
from alerting.slo import Slo, read_documents, refuse_twins
from alerting.sloth import VERSION, read_sloth
from storewatch.core.errors import AlertError

SHIPPED = Path(__file__).parent / "slos"

Histograms = Mapping[str, tuple[str, ...]]
"""Bucket bounds, as they are exported, of histograms that are known."""


def load_slos(
    paths: tuple[Path, ...] = (),
    *,
    period_days: int = 30,
    periods: Mapping[str, int] | None = None,
    histograms: Histograms | None = None,
) -> list[Slo]:
    """Read SLO files, the shipped ones where none are named.

    Args:
        paths: Sloth prometheus/v1 and OpenSLO v1 files.
        period_days: of an objective whose file does not say.
        periods: of objectives by id, where it is another one.
        histograms: those whose buckets are known.

    Raises:
        AlertError: a file cannot be read or is no such file; one line with file, key and form.
    """
    wanted = dict(periods or {})
    used: set[str] = set()

    def period(identifier: str) -> int:
        used.add(identifier)
        return wanted.get(identifier, period_days)

    slos = _read(paths or tuple(sorted(SHIPPED.glob("*.yaml"))), period)
    refuse_twins(slos)
    if unused := sorted(set(wanted) - used):
        known = ", ".join(sorted(used)) or "none"
        raise AlertError(
            f"alerting.slo_periods.{unused[0]}: no SLO of this id whose file leaves its period"
            f" open; there are: {known}"
        )
    for slo in slos:
        _refuse_missing_buckets(slo, histograms or {})
    return slos


def _read(paths: tuple[Path, ...], period: Callable[[str], int]) -> list[Slo]:
    slos: list[Slo] = []
    openslo = OpenSlo(period)
    for path in paths:
        for number, document in enumerate(read_documents(path), 1):
            if isinstance(document, dict) and document.get("apiVersion") in VERSIONS:
                openslo.add(path, number, document)
            elif isinstance(document, dict) and document.get("version") == VERSION:
                slos += read_sloth(path, document, period)
            else:
                raise AlertError(f"{path}: {_what_is_it(document)}")
    return [*slos, *openslo.compiled()]


def _what_is_it(document: Any) -> str:
    key = "version"
    found = None
    if isinstance(document, dict):
        key = "apiVersion" if "apiVersion" in document else "version"
        found = document.get(key)
    forms = f"version: {VERSION} (Sloth) or apiVersion: {VERSIONS[0]} (OpenSLO)"
    return f"{key}: {found!r}; write {forms}"


def _refuse_missing_buckets(slo: Slo, histograms: Histograms) -> None:
    """Refuse a bucket that a known histogram has not.

    Raises:
        AlertError: with the buckets that there are.
    """
    for name, bound in slo.sli.buckets:
        bounds = histograms.get(name)
        if bounds is None or bound in bounds:
            continue
        raise AlertError(
            f"{slo.file}: {slo.id}: {name} has no bucket at {bound}; write one of its bounds:"
            f" {', '.join(bounds)}"
        )
