"""An authority of this provisioner's own, for its API's certificate: for sites that have none."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioner.core.errors import InvalidInput, PermanentError
from provisioner.services.daemon import replace_file

CA_DAYS = 3650
SERVER_DAYS = 397
"""Clients such as Apple's take no certificate that is good for longer."""

BACKDATED = timedelta(minutes=5)
"""Clocks of clients may be behind."""

_DNS = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9_])?\Z")
"""Hosts have underscores, too."""


@dataclass(frozen=True, slots=True)
class TlsFolder:
    """Where the files of the local authority, and the certificate that it made, lie."""

    path: Path

    @property
    def ca(self) -> Path:
        return self.path / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.path / "ca.key"

    @property
    def certificate(self) -> Path:
        """With its key."""
        return self.path / "server.pem"


def issue(folder: TlsFolder, names: Sequence[str], now: datetime) -> datetime:
    """A new certificate for these names and addresses, by the authority there, which is made if there is
    none; until when it is good. Raises PermanentError, InvalidInput for what no certificate can be for."""
    alternatives = [_name(name) for name in names]
    try:
        # The state folder too, which may not be there yet: `parents` would have others look into it.
        for path in (folder.path.parent, folder.path):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not folder.ca.exists():
            _make_authority(folder, now)
        authority = x509.load_pem_x509_certificate(folder.ca.read_bytes())
        signer = s.load_pem_private_key(folder.ca_key.read_bytes(), None)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "its files are damaged"
        raise PermanentError(
            f"use the authority in {folder.path}",
            answer=str(told),
            advice="Restore it from a backup; or remove the folder, and have clients trust a new authority",
        ) from None
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + timedelta(days=SERVER_DAYS), authority.not_valid_after_utc)
    certificate = (
        _begin(names[0], key.public_key(), authority.subject, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    # One file holds both, so that a reader never has one of each.
    replace_file(folder.certificate, _pem(key) + certificate.public_bytes(s.Encoding.PEM).decode())
    return until


def can_be_for(name: str) -> bool:
    """Whether a certificate can be for this name or address."""
    try:
        _name(name)
    except InvalidInput:
        return False
    return True


def names_of(folder: TlsFolder) -> list[str]:
    """What the certificate there is for, and another can be; nothing when there is none that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(folder.certificate.read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []
    return [name for name in (str(one.value) for one in found) if can_be_for(name)]


def _make_authority(folder: TlsFolder, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"provisioner {os.uname().nodename[:40]}")])
    until = now + timedelta(days=CA_DAYS)
    usage = x509.KeyUsage(
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
    certificate = (
        _begin("", key.public_key(), name, now, until)
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # The certificate last: where it is, its key is.
    replace_file(folder.ca_key, _pem(key))
    replace_file(folder.ca, certificate.public_bytes(s.Encoding.PEM).decode())


def _begin(
    subject: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
    )
    if not subject:
        return builder
    # RFC 5280 bounds a common name to 64 characters; clients look at the alternative names.
    return builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])]))


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if not _DNS.match(name):
        raise InvalidInput(
            "make a certificate",
            field="name",
            answer=f"{name!r} is neither a name of the DNS nor an address",
            advice="Write it as it is in the DNS: letters, digits, dots and hyphens; others as xn--…",
        )
    return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
