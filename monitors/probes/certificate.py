"""Certificates: contexts that verify and one that does not, and the date a certificate ends."""

import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

_contexts: dict[tuple[Path | None, float], ssl.SSLContext] = {}
_lock = threading.Lock()

_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_EXPLICIT_VERSION = 0xA0


def context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying context, made again when the CA file has changed.

    Raises:
        OSError: the CA file cannot be read.
    """
    key = (ca_file, ca_file.stat().st_mtime if ca_file else 0.0)
    with _lock:
        if key not in _contexts:
            made = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
            for old in [k for k in _contexts if k[0] == ca_file]:
                del _contexts[old]
            _contexts[key] = made
        return _contexts[key]


def unverified_context() -> ssl.SSLContext:
    """Return a context for reading a certificate's date only; nothing is sent through it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def expiry(sock: ssl.SSLSocket) -> float | None:
    """Return the Unix time at which the peer's own certificate expires; None without one."""
    der = sock.getpeercert(binary_form=True)
    return None if der is None else not_after(der)


def not_after(der: bytes) -> float:
    """Return the end of validity of an X.509 certificate as Unix time.

    Source: RFC 5280, section 4.1: Certificate, TBSCertificate, Validity.

    Raises:
        ValueError: the bytes are no such certificate.
    """
    try:
        _, start, _ = _element(der, 0)  # Certificate
        _, position, _ = _element(der, start)  # TBSCertificate
        tag, _, end = _element(der, position)
        if tag == _EXPLICIT_VERSION:
            position = end
        for _ in range(3):  # serialNumber, signature, issuer
            _, _, position = _element(der, position)
        _, start, _ = _element(der, position)  # Validity
        _, _, position = _element(der, start)  # notBefore
        tag, start, end = _element(der, position)
        return _moment(tag, der[start:end].decode("ascii"))
    except (IndexError, ValueError) as error:
        raise ValueError(f"not an X.509 certificate ({error})") from error


def _element(der: bytes, position: int) -> tuple[int, int, int]:
    """Return tag, start of content and end of the DER element at a position."""
    tag, length = der[position], der[position + 1]
    start = position + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[start : start + size], "big")
        start += size
    return tag, start, start + length


def _moment(tag: int, text: str) -> float:
    if tag == _UTC_TIME:  # years 1950 to 2049
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"its validity has the tag {tag:#x}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
