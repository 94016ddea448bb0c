"""The shop's own certificate authority and its server certificate, made at start."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from storefront.engines.process import Account, make_folder, write_file
from storefront.settings import HOST

_AUTHORITY_DAYS = 365
_SERVER_DAYS = 90
_RENEW_BEFORE = dt.timedelta(days=7)
_FILES = ("ca.pem", "ca.key", "server.pem", "server.key")


def ensure_certificates(folder: Path, account: Account | None) -> None:
    """Make the authority (`ca.pem`) and the server's certificate unless good ones are there.

    Args:
        folder: where they lie; private keys are 0600.
        account: who reads the server's key.
    """
    make_folder(folder, account)
    if all((folder / name).exists() for name in _FILES) and _valid(folder):
        return
    now = dt.datetime.now(dt.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Shop Demo Local CA")
    authority = _builder(authority_name, authority_name, authority_key, now, _AUTHORITY_DAYS)
    authority = authority.add_extension(x509.BasicConstraints(True, 0), critical=True)
    authority = authority.add_extension(_authority_usage(), critical=True)
    authority_certificate = authority.sign(authority_key, hashes.SHA256())
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _builder(_name("localhost"), authority_name, server_key, now, _SERVER_DAYS)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    server = server.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    server = server.add_extension(x509.BasicConstraints(False, None), critical=True)
    server = server.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
        critical=False,
    )
    server_certificate = server.sign(authority_key, hashes.SHA256())
    write_file(folder / "ca.key", _private(authority_key))
    write_file(folder / "server.key", _private(server_key), account)
    write_file(folder / "server.pem", _public(server_certificate), account, 0o644)
    write_file(folder / "ca.pem", _public(authority_certificate), account, 0o644)


def _valid(folder: Path) -> bool:
    """Tell whether the pair in the folder belongs together and lasts for another week."""
    try:
        authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        server = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
        server.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - whatever is wrong with them, they are made anew
        return False
    soon = dt.datetime.now(dt.UTC) + _RENEW_BEFORE
    belongs = key.public_key() == server.public_key()
    return belongs and min(authority.not_valid_after_utc, server.not_valid_after_utc) > soon


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _public(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
