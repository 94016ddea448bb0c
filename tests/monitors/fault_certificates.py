"""Certificates of the fault server: a good one, and one for each thing that can be wrong."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CERTIFICATES = ("good", "expired", "wrong", "stranger")


def make_certificates(folder: Path) -> dict[str, ssl.SSLContext]:
    """Write ca.pem and return a server context for each kind of certificate."""
    now = datetime.now(UTC)
    ca_key, stranger_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("test CA", ca_key, "test CA", ca_key, now + timedelta(days=3650))
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made = {}
    for kind in CERTIFICATES:
        key = ec.generate_private_key(ec.SECP256R1())
        end = now - timedelta(days=1) if kind == "expired" else now + timedelta(days=30)
        issuer = stranger_key if kind == "stranger" else ca_key
        hosts = ["elsewhere.example"] if kind == "wrong" else ["localhost", "127.0.0.1"]
        leaf = _certificate("localhost", key, "test CA", issuer, end, hosts)
        file = folder / f"{kind}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        made[kind] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made[kind].load_cert_chain(file)
    return made


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    end: datetime,
    hosts: list[str] | None = None,
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=3700))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
    )
    if hosts:
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
