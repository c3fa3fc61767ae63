"""Outlets behind https: whose certificates no public authority has made."""

from __future__ import annotations

import re
import ssl
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceUnreachable
from provisioner.core.states import PowerState
from provisioner.protocols.power import PowerVerb
from provisioner.services.local_ca import TlsFolder, issue
from tests.serving import serving
from tests.wire.drivers.web_plug import power_at, seen

pytestmark = pytest.mark.wire

NODES = Path(__file__).resolve().parents[3] / "docs/nodes.md"


class Plug:
    """A smart plug with a certificate for `name`, at 127.0.0.1."""

    def __init__(self, folder: Path, name: str, made: datetime | None = None) -> None:
        """made: its certificate; now, unless said otherwise"""
        self.tls = TlsFolder(folder / "tls")
        issue(self.tls, [name], made or datetime.now(UTC))
        plug, self.on = self, True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say("state=1" if plug.on else "state=0")

            def do_POST(self) -> None:
                plug.on = self.path == "/on"
                self._say("done")

            def _say(self, text: str) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls.certificate)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def ca(self) -> str:
        return self.tls.ca.read_text()

    @property
    def own(self) -> str:
        """Its own certificate, without the key that stands before it."""
        text = self.tls.certificate.read_text()
        return text[text.index("-----BEGIN CERTIFICATE-----") :]

    def switched(self, ca: str | None) -> list[PowerState]:
        """At first, and after off and on."""
        words = {"when_on": "state=1", "when_off": "state=0"} | ({} if ca is None else {"ca": ca})
        power = power_at(f"https://127.0.0.1:{self.server.server_port}", **words)
        return seen(power, PowerVerb.OFF, PowerVerb.ON)


@contextmanager
def running(plug: Plug) -> Iterator[Plug]:
    with serving(plug.server):
        yield plug


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    with running(Plug(tmp_path, "127.0.0.1")) as plug:
        yield plug


@pytest.mark.parametrize("given", ["ca", "own"])
def test_an_outlet_is_trusted_by_its_authority_or_by_its_own_certificate(plug: Plug, given: str) -> None:
    assert plug.switched(getattr(plug, given)) == [PowerState.ON, PowerState.OFF, PowerState.ON]


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("nothing", "Give its authority's certificate, or its own, as power.ca"),
        ("another authority", "power.ca has neither its certificate nor its authority's"),
    ],
)
def test_an_outlet_that_is_not_trusted_is_told_nothing(
    plug: Plug, tmp_path: Path, given: str, advice: str
) -> None:
    other = TlsFolder(tmp_path / "other" / "tls")
    issue(other, ["127.0.0.1"], datetime.now(UTC))
    with pytest.raises(DeviceUnreachable, match="certificate verify failed") as refused:
        plug.switched(other.ca.read_text() if given == "another authority" else None)
    assert advice in refused.value.advice
    assert plug.on


@pytest.mark.parametrize("given", ["ca", "own"])
def test_a_certificate_has_to_be_for_the_host_of_the_url(tmp_path: Path, given: str) -> None:
    with running(Plug(tmp_path, "plug.example")) as plug:
        with pytest.raises(DeviceUnreachable, match=r"IP address mismatch.*127\.0\.0\.1") as refused:
            plug.switched(getattr(plug, given))
        assert "isn't for 127.0.0.1, which no power.ca mends" in refused.value.advice
        assert names_shown_by(refused.value.advice, plug) == "DNS:plug.example"


def test_a_certificate_that_has_expired_is_told_as_such(tmp_path: Path) -> None:
    with (
        running(Plug(tmp_path, "127.0.0.1", datetime.now(UTC) - timedelta(days=400))) as plug,
        pytest.raises(DeviceUnreachable, match="certificate has expired") as refused,
    ):
        plug.switched(plug.ca)
    assert "give the device a new certificate" in refused.value.advice


def names_shown_by(advice: str, plug: Plug) -> str:
    """What the command in it prints of the certificate's names."""
    (command,) = re.findall(r"`(openssl .*)`", advice)
    assert f"127.0.0.1:{plug.server.server_port} " in command
    return shell(command).splitlines()[-1].strip()


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_manual_says_gets_the_certificate_that_is_to_be_given(plug: Plug) -> None:
    (text,) = (part for part in NODES.read_text().split("\n\n") if "openssl s_client" in part)
    command = textwrap.dedent(text).replace("plug7.example:443", f"127.0.0.1:{plug.server.server_port}")
    assert command != textwrap.dedent(text)
    fingerprint, own = shell(command).split("\n", 1)
    assert fingerprint.startswith("sha256 Fingerprint=")
    assert plug.switched(own) == [PowerState.ON, PowerState.OFF, PowerState.ON]
