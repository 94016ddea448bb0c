"""Time as the suite knows it: aware UTC for moments, the monotonic clock for durations."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def from_unix(unix_s: float) -> datetime:
    """Return the moment of Unix seconds, aware, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC)


def rfc3339(moment: datetime) -> str:
    """Format an aware moment as RFC 3339 in UTC, such as 2026-11-22T01:02:03.004Z.

    Raises:
        ValueError: the moment is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone cannot be formatted; use utc_now()")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Parse an RFC 3339 moment (any offset, any fraction) to aware UTC.

    Raises:
        ValueError: the text is no such moment, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write 2026-11-22T01:02:03Z")
    return moment.astimezone(UTC)
