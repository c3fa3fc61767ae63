from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from provisioner.core.errors import InvalidInput, PermanentError
from provisioner.services.local_ca import SERVER_DAYS, TlsFolder, issue

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_certificate_is_for_its_names_and_by_the_authority_that_was_made(tmp_path: Path) -> None:
    folder = TlsFolder(tmp_path / "tls")
    until = issue(folder, ["rack.example", "10.0.0.1"], NOW)
    server, authority = certificate(folder.certificate), certificate(folder.ca)
    assert until == server.not_valid_after_utc == NOW + timedelta(days=SERVER_DAYS)
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["rack.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.1")]
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_renewal_keeps_the_authority(tmp_path: Path) -> None:
    folder = TlsFolder(tmp_path)
    issue(folder, ["a"], NOW)
    authority, first = folder.ca.read_bytes(), certificate(folder.certificate)
    issue(folder, ["a"], NOW + timedelta(days=300))
    assert folder.ca.read_bytes() == authority
    assert certificate(folder.certificate).serial_number != first.serial_number


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    folder = TlsFolder(tmp_path)
    issue(folder, ["a"], NOW)
    until = certificate(folder.ca).not_valid_after_utc
    assert issue(folder, ["a"], until - timedelta(days=10)) == until


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = TlsFolder(tmp_path / "tls")
    issue(folder, ["a"], NOW)
    assert folder.path.stat().st_mode & 0o077 == 0
    for path in (folder.ca_key, folder.certificate):
        assert b"PRIVATE KEY" in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    assert b"PRIVATE KEY" not in folder.ca.read_bytes()


@pytest.mark.parametrize("name", ["", "bücher.example", "a b", "https://a", "10.0.0.0/24", ".a", "a."])
def test_what_no_certificate_can_be_for_is_told_before_anything_is_made(tmp_path: Path, name: str) -> None:
    folder = TlsFolder(tmp_path / "tls")
    with pytest.raises(InvalidInput, match="neither a name of the DNS nor an address") as refused:
        issue(folder, ["a", name], NOW)
    assert refused.value.field == "name"
    assert not folder.path.exists()


def test_wildcards_and_what_systems_are_called_are_names(tmp_path: Path) -> None:
    issue(TlsFolder(tmp_path), ["*.rack.example", "my_host-1", "xn--bcher-kva.example", "fe80::1"], NOW)


@pytest.mark.parametrize("damage", ["", "nonsense"])
def test_a_damaged_authority_is_told_of_and_not_replaced(tmp_path: Path, damage: str) -> None:
    folder = TlsFolder(tmp_path)
    issue(folder, ["a"], NOW)
    folder.ca_key.write_text(damage)
    with pytest.raises(PermanentError, match="its files are damaged"):
        issue(folder, ["a"], NOW)
    assert folder.ca_key.read_text() == damage
