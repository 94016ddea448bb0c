"""Certificates: what a server sent, the chains it verifies by, and the files of `tls_config`."""

import functools
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256

from monitors.probes.format import TlsConfig
from monitors.probes.report import Report

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where distributions keep their CA certificates. Source: Go's crypto/x509, root_linux.go."""

TLS_NAMES = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
_LONGEST_CHAIN = 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What the certificates of one server say. Expiries are Unix times."""

    earliest: int
    chain: int | None
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Trust:
    """CA certificates: the file (PEM), its content, and its state, which changes when it does."""

    file: Path
    pem: bytes = field(compare=False)
    state: tuple[int, int]


def trust(config: TlsConfig, home: Path) -> Trust:
    """Return what a server is verified by: `ca_file`, below home, else the system's bundle.

    Raises:
        OSError: the file cannot be read.
    """
    file = home / config.ca_file if config.ca_file else system_bundle()
    status = file.stat()
    return _read(file, (status.st_mtime_ns, status.st_size))


def system_bundle() -> Path:
    """Return the CA bundle of this machine, $SSL_CERT_FILE first, certifi's where it has none."""
    named = os.environ.get("SSL_CERT_FILE")
    for path in [named, *_BUNDLES] if named else _BUNDLES:
        if Path(path).is_file():
            return Path(path)
    return Path(certifi.where())


@functools.lru_cache(64)
def _read(file: Path, state: tuple[int, int]) -> Trust:
    return Trust(file, file.read_bytes(), state)


@functools.lru_cache(64)
def _anchors(trusted: Trust) -> dict[x509.Name, list[x509.Certificate]]:
    found: dict[x509.Name, list[x509.Certificate]] = {}
    for certificate in x509.load_pem_x509_certificates(trusted.pem):
        found.setdefault(certificate.subject, []).append(certificate)
    return found


@functools.lru_cache(4096)
def facts(sent: tuple[bytes, ...], trusted: Trust | None) -> Facts:
    """Return what certificates say that a server sent, its own first.

    Args:
        sent: the certificates, in DER or PEM.
        trusted: what they were verified by; None: they were not.

    Raises:
        ValueError: one is no certificate.
    """
    certificates = [_load(one) for one in sent]
    own = certificates[0]
    ends = [_expiry(one) for one in certificates]
    chains: list[int] = []
    if trusted is not None:
        chains = list(_chains(own, certificates[1:], _anchors(trusted), _LONGEST_CHAIN))
    return Facts(min(ends), max(chains, default=None), _labels(own))


def _load(encoded: bytes) -> x509.Certificate:
    if encoded.startswith(b"-----"):
        return x509.load_pem_x509_certificate(encoded)
    return x509.load_der_x509_certificate(encoded)


def _expiry(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp())


def _chains(
    certificate: x509.Certificate,
    sent: list[x509.Certificate],
    anchors: dict[x509.Name, list[x509.Certificate]],
    longest: int,
) -> Iterator[int]:
    """Yield the earliest expiry of each chain from a certificate to a trusted one.

    Source: blackbox_exporter's getLastChainExpiry, which takes the latest of these.
    """
    own = _expiry(certificate)
    if certificate in anchors.get(certificate.subject, ()):
        yield own
    if longest == 0 or certificate.not_valid_after_utc < datetime.now(UTC):
        return
    for issuer in anchors.get(certificate.issuer, ()):
        if issuer != certificate and _issued(certificate, issuer):
            yield min(own, _expiry(issuer))
    for issuer in sent:
        if issuer != certificate and _issued(certificate, issuer):
            for end in _chains(issuer, sent, anchors, longest - 1):
                yield min(own, end)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _labels(own: x509.Certificate) -> dict[str, str]:
    try:
        extension = own.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = []
    return {
        "fingerprint_sha256": own.fingerprint(SHA256()).hex(),
        "issuer": own.issuer.rfc4514_string(),
        "subject": own.subject.rfc4514_string(),
        "subjectalternative": ",".join(names),
    }


def report_facts(found: Facts, version: str, cipher: str, report: Report) -> None:
    """Put into a report what a server's certificates say and how TLS was spoken."""
    report.values["probe_ssl_earliest_cert_expiry"] = found.earliest
    if found.chain is not None:
        report.values["probe_ssl_last_chain_expiry_timestamp_seconds"] = found.chain
    report.infos["probe_ssl_last_chain_info"] = found.labels
    if version:
        name = TLS_NAMES.get(version, "unknown")
        report.infos["probe_tls_version_info"] = {"version": name}
        report.infos["probe_tls_cipher_info"] = {"cipher": cipher}


def context(config: TlsConfig, home: Path) -> ssl.SSLContext:
    """Return a context for Python's TLS, made again when a file of it has changed.

    Raises:
        OSError: a file cannot be read or is no PEM.
    """
    files = [home / one for one in (config.cert_file, config.key_file) if one]
    states = tuple(one.stat().st_mtime_ns for one in files)
    trusted = None if config.insecure_skip_verify else trust(config, home)
    return _context(config, home, trusted, states)


@functools.lru_cache(256)
def _context(
    config: TlsConfig, home: Path, trusted: Trust | None, _states: tuple[int, ...]
) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = _VERSIONS[config.min_version or "TLS12"]
    made.maximum_version = _VERSIONS[config.max_version or "TLS13"]
    if obsolete(config):
        made.set_ciphers(OBSOLETE_CIPHERS)
    if trusted is None:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    else:
        made.load_verify_locations(cafile=trusted.file)
    if config.cert_file and config.key_file:
        made.load_cert_chain(home / config.cert_file, home / config.key_file)
    return made


OBSOLETE_CIPHERS = "DEFAULT:@SECLEVEL=0"
"""What OpenSSL must be told before it speaks TLS 1.0 or 1.1."""


def obsolete(config: TlsConfig) -> bool:
    """Return whether a version of TLS is asked for that OpenSSL refuses by default."""
    return "TLS10" in (low := (config.min_version, config.max_version)) or "TLS11" in low


_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


def sent_certificates(secured: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the certificates (DER) that a peer sent, its own first."""
    # Public as ssl.SSLObject.get_unverified_chain since Python 3.13; there before it under the
    # private object that it wraps.
    if hasattr(secured, "get_unverified_chain"):
        return tuple(secured.get_unverified_chain())
    wrapped = secured._sslobj  # type: ignore[attr-defined]
    return tuple(one.public_bytes(2) for one in wrapped.get_unverified_chain() or ())
