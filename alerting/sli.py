"""Service level indicators: what is counted, as the expressions that rules are made from.

Every indicator is a pair of queries, bad and all, whose quotient is the error ratio:

    events   bad and all events per second over {{.window}}
    latency  the same, the good ones from a histogram's bucket exactly at the threshold
    rates    bad and all events per second at this moment: a query that cannot be given a window
    raw      an error ratio that somebody computed: it holds no events, so each moment counts alike
    samples  each evaluation is one event, bad while a value is out of bounds

Both queries are guarded: 0 and not NaN while nothing happens, there before the first bad event,
and gone when the indicator itself is gone.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

# Less than any rate of events that there is: what is divided by where nothing happens.
NOTHING = "1e-9"
WINDOW = re.compile(r"\{\{\s*\.window\s*\}\}")

_STRING = r'"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])*'"
_LABELS = rf"\{{(?:[^{{}}\"']|{_STRING})*\}}"
_SELECTOR = rf"(?:[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:{_LABELS})?|{_LABELS})"
_GROUPING = r"(?:by|without)\s*\([^()]*\)"
_SUM = re.compile(
    rf"sum\s*({_GROUPING})?\s*\(\s*({_SELECTOR})\s*\)\s*({_GROUPING})?", re.IGNORECASE
)
_BUCKET = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)_bucket\s*(\{{(?:[^{{}}\"']|{_STRING})*\}})", re.DOTALL
)
_LE = re.compile(r"\ble\s*=\s*[\"']([^\"']*)[\"']")


class Kind(StrEnum):
    """What an indicator counts; see the module."""

    EVENTS = "events"
    LATENCY = "latency"
    RATES = "rates"
    RAW = "raw"
    SAMPLES = "samples"


@dataclass(frozen=True, slots=True)
class Sli:
    """An indicator.

    Attributes:
        kind: what is counted.
        bad: query of what is bad.
        total: query of all there is.
        ratio: query of the error ratio itself.
        counted: whether `bad` and `total` are events a second; else they are shares of time.
        buckets: (histogram, bound) of every bucket that the queries name.

    A query may hold {{.window}}: then it is computed over any window from the counters themselves.
    """

    kind: Kind
    bad: str
    total: str
    ratio: str
    counted: bool
    buckets: tuple[tuple[str, str], ...] = ()

    @property
    def windowed(self) -> bool:
        """Whether the queries can be asked over any window."""
        return WINDOW.search(self.total) is not None


def at(query: str, window: str) -> str:
    """Return a query over a window such as 5m."""
    return WINDOW.sub(window, query)


def error_ratio(bad: str, total: str) -> str:
    """Return bad by all: 0 without events or without a series of bad ones, never NaN."""
    return f"({bad}) / (({total}) > 0) or 0 * ({total})"


def events(bad: str, total: str) -> Sli:
    """Return the indicator of bad and all events.

    Where the bad ones come from a histogram's bucket the indicator is gone when the bucket is:
    "no slow requests" must not be what a bucket that does not exist looks like.
    """
    if buckets := buckets_of(bad, total):
        return _slow(bad, total, buckets)
    kind = Kind.EVENTS if WINDOW.search(total) else Kind.RATES
    single = _without_labels(bad) and _without_labels(total)
    if single:  # asks for all events only once
        ratio = f"(({bad}) or vector(0)) / clamp_min({total}, {NOTHING})"
    else:
        ratio = error_ratio(bad, total)
    return Sli(kind, f"({bad}) or 0 * ({total})", total, ratio, counted=True)


def _without_labels(query: str) -> bool:
    """Return whether a query can only have one series, without labels: sums, and no more."""
    text = re.sub(_STRING, "", query)
    if re.search(r"\b(by|without|on|ignoring|group_left|group_right)\b", text):
        return False
    rest, depth = "", 0
    for part in re.split(r"(\bsum\s*\(|\bcount\s*\(|[()])", text):
        if depth == 0 and not part.startswith(("sum", "count")):
            rest += part
        elif part.endswith("("):
            depth += 1
        elif part == ")":
            depth -= 1
    return re.fullmatch(r"[\s\d.+*/()-]*", rest) is not None


def good_events(good: str, total: str) -> Sli:
    """Return the indicator of good and all events; without a series of good ones all are bad."""
    if buckets := buckets_of(good, total):
        return _slow(f"({total}) - ({good})", total, buckets)
    return events(f"({total}) - (({good}) or 0 * ({total}))", total)


def latency(selector: str, bound: str) -> Sli:
    """Return the indicator of a histogram: what took longer than one of its bucket bounds is bad.

    Args:
        selector: of the buckets, without `le`: request_seconds_bucket{job="shop"}.
        bound: in seconds, as a number.
    """
    name, _, labels = selector.partition("{")
    inside = labels.rstrip().removesuffix("}").strip().rstrip(",")
    join = "," if inside else ""
    base = name.strip().removesuffix("_bucket")
    good = f"sum(rate({base}_bucket{{{inside}{join}{_le_matcher(bound)}}}[{{{{.window}}}}]))"
    total = f"sum(rate({base}_count{{{inside}}}[{{{{.window}}}}]))"
    return _slow(f"({total}) - ({good})", total, ((base, bound),))


def _slow(bad: str, total: str, buckets: tuple[tuple[str, str], ...]) -> Sli:
    ratio = f"({bad}) / clamp_min({total}, {NOTHING})"
    return Sli(Kind.LATENCY, bad, total, ratio, counted=True, buckets=buckets)


def _le_matcher(bound: str) -> str:
    """Return the matcher of a bucket; clients write whole numbers as 2 or as 2.0."""
    number = float(bound)
    if number.is_integer():
        return rf'le=~"{number:.0f}(\\.0)?"'
    return f'le="{number!r}"'


def raw(query: str) -> Sli:
    """Return the indicator of an error ratio between 0 and 1; NaN counts as "nothing happened"."""
    there = f"(({query}) == bool ({query}))"  # 1, and 0 for NaN, the one value unequal to itself
    bad = f"(({query}) >= 0) or 0 * {there}"
    return Sli(Kind.RAW, bad, there, bad, counted=False)


def samples(query: str, bad_when: str) -> Sli:
    """Return the indicator of a value: each series of it is one event at each evaluation.

    Args:
        query: the value; NaN counts as no event.
        bad_when: a comparison such as "> 0.2".
    """
    total = f"count(({query}) >= -Inf) or 0 * count({query})"
    bad = f"count(({query}) {bad_when})"
    guarded = f"({bad}) or 0 * ({total})"
    return Sli(Kind.SAMPLES, guarded, total, error_ratio(bad, total), counted=False)


def rate_of(counter: str) -> str:
    """Return the rate, over {{.window}}, of a counter's selector or of a sum of one.

    The rate is taken before the sum: the other way round a restart is read as a jump.

    Raises:
        ValueError: it is neither.
    """
    text = counter.strip()
    if re.fullmatch(_SELECTOR, text):
        return f"sum(rate({text}[{{{{.window}}}}]))"
    match = _SUM.fullmatch(text)
    if match is None:
        raise ValueError(
            "no counter; write requests_total{...} or sum(requests_total{...}),"
            " or a rate over {{.window}}"
        )
    grouping = match[1] or match[3]
    by = f" {grouping} " if grouping else ""
    return f"sum{by}(rate({match[2]}[{{{{.window}}}}]))"


def buckets_of(*queries: str) -> tuple[tuple[str, str], ...]:
    """Return (histogram, bound) of the buckets that queries name with `le="..."`, +Inf left out."""
    found = {
        (name, le[1])
        for query in queries
        for name, labels in _BUCKET.findall(query)
        if (le := _LE.search(labels)) and le[1] != "+Inf"
    }
    return tuple(sorted(found))
