"""Targets of the form host:port, as Go's net.SplitHostPort takes them apart."""


def split(target: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port; a literal IPv6 address stands in brackets.

    Raises:
        ValueError: there is no host, or no port and no default.
    """
    host, separator, port = target.rpartition(":")
    if not separator or (":" in host and not host.startswith("[")) or target.endswith("]"):
        host, port = target, ""
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isdigit() else default_port if not port else None
    if not host or number is None or not 0 < number < 65536:
        raise ValueError(f"{target!r} is no target; write host:port, such as db.example:5432")
    return host, number
