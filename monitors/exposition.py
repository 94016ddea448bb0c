"""The page of metrics in Prometheus' text format 0.0.4.

It is the format of the exporters whose names we speak, and the only one that has room for all of
them: OpenMetrics knows no counter without `_total`, such as `pg_stat_database_xact_commit`.

Source: Prometheus documentation, "Exposition formats", text-based format.
"""

from collections.abc import Iterable

from prometheus_client.core import Metric, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TYPES = {"unknown": "untyped", "info": "gauge", "stateset": "gauge"}
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def exposition(families: Iterable[Metric]) -> bytes:
    """Return the families as one page; a family without samples leaves no trace."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            name = exposed_name(family)
            lines.append(f"# HELP {name} {family.documentation.translate(_IN_HELP)}\n")
            lines.append(f"# TYPE {name} {_TYPES.get(family.type, family.type)}\n")
            lines.extend(map(_line, family.samples))
    return "".join(lines).encode()


def exposed_name(family: Metric) -> str:
    """Return the name that carries the family's type: a counter's is the name of its samples."""
    return family.samples[0].name if family.type in ("counter", "info") else family.name


def _line(sample: Sample) -> str:
    if not sample.labels:
        return f"{sample.name} {float(sample.value)!r}\n"
    labels = ",".join(
        f'{name}="{content.translate(_IN_LABEL)}"' for name, content in sample.labels.items()
    )
    return f"{sample.name}{{{labels}}} {float(sample.value)!r}\n"
