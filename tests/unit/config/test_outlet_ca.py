"""`ca` of an outlet behind https, as node files say it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import InvalidInput
from provisioner.services.local_ca import TlsFolder, issue
from tests.unit.config.test_outlet_power import HTTP, entry

HTTPS = {**HTTP, **{name: f"https://10.78.0.204/{name}" for name in ("on", "off", "state")}}


@pytest.fixture
def folder(tmp_path: Path) -> TlsFolder:
    folder = TlsFolder(tmp_path / "tls")
    issue(folder, ["10.78.0.204"], datetime.now(UTC))
    return folder


@pytest.mark.parametrize("feeds", [False, True], ids=["alone", "among feeds"])
def test_a_certificate_is_shown_and_sent_on_as_it_is(folder: TlsFolder, feeds: bool) -> None:
    power: dict[str, Any] = {**HTTPS, "ca": folder.ca.read_text()}
    read = entry({"driver": "feeds", "feeds": [power, HTTP]} if feeds else power)
    assert entry(read.written()) == read
    assert (read.shown()["feeds"][0] if feeds else read.shown())["ca"] == power["ca"]
    assert read.secrets() == {}


@pytest.mark.parametrize("where", ["on", "off", "state"])
def test_a_certificate_is_for_urls_of_https(folder: TlsFolder, where: str) -> None:
    with pytest.raises(InvalidInput, match="ca: it is for URLs of https, and one of them isn't"):
        entry({**HTTPS, "ca": folder.ca.read_text(), where: HTTP[where]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/ssl/certs/site.pem",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
        "fünf",
        "\udc80",
    ],
)
def test_what_is_no_certificate_is_told(text: str) -> None:
    with pytest.raises(InvalidInput, match="it is no certificate in PEM") as caught:
        entry({**HTTPS, "ca": text})
    assert caught.value.field == "nodes[0].power.ca"


def test_a_private_key_is_refused_and_not_shown(folder: TlsFolder) -> None:
    text = folder.certificate.read_text()
    with pytest.raises(InvalidInput, match="it has a private key, which would be shown with it") as caught:
        entry({**HTTPS, "ca": text})
    assert text.splitlines()[1] not in str(caught.value)
