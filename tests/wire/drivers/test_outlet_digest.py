"""Outlets that ask for a digest login (RFC 7616), as many smart plugs do: no password is sent to them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import parse_http_list, parse_keqv_list

import pytest

from provisioner.core.errors import DeviceRefused, ProvisionerError, WrongCredentials
from provisioner.core.states import PowerState
from provisioner.protocols.power import PowerVerb
from tests.serving import serving
from tests.wire.drivers.web_plug import power_at, seen

pytestmark = pytest.mark.wire

USER, PASSWORD, REALM, NONCE = "admin", "correct-horse", "plug", "60dc59c3"


class Plug:
    """algorithm: of its digests, in its own words"""

    def __init__(self, algorithm: str) -> None:
        plug, self.on, self.heard = self, True, list[str]()
        hashed = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}.get(algorithm, hashlib.sha256)

        def h(*words: str) -> str:
            return hashed(":".join(words).encode()).hexdigest()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                given = self.headers.get("authorization", "")
                plug.heard.append(given)
                status, text = (200, "") if self._proves(given) else (401, "who are you?")
                if status == 200:
                    if self.command == "POST":
                        plug.on = self.path == "/on"
                    text = f'{{"output":{"true" if plug.on else "false"}}}'
                self.send_response(status)
                if status == 401:
                    challenge = f'realm="{REALM}", qop="auth", nonce="{NONCE}", algorithm={algorithm}'
                    self.send_header("www-authenticate", f"Digest {challenge}")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def _proves(self, given: str) -> bool:
                scheme, _, rest = given.partition(" ")
                if scheme != "Digest":
                    return False
                said = parse_keqv_list(parse_http_list(rest))
                proof = h(
                    h(USER, REALM, PASSWORD),
                    *(NONCE, said["nc"], said["cnonce"], "auth"),
                    h(self.command, self.path),
                )
                return said["response"] == proof and said["uri"] == self.path

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def seen(self, *verbs: PowerVerb, **login: str) -> list[PowerState]:
        words = {"when_on": '"output":true', "when_off": '"output":false', "user": USER, **login}
        return seen(power_at(self.url, **words), *verbs)


@pytest.fixture
def plug(request: pytest.FixtureRequest) -> Iterator[Plug]:
    plug = Plug(getattr(request, "param", "SHA-256"))
    with serving(plug.server):
        yield plug


@pytest.mark.parametrize("plug", ["MD5", "SHA-256"], indirect=True)
def test_an_outlet_with_a_digest_login_is_switched_and_never_told_the_password(plug: Plug) -> None:
    seen = plug.seen(PowerVerb.OFF, PowerVerb.ON, password=PASSWORD, login="digest")
    assert seen == [PowerState.ON, PowerState.OFF, PowerState.ON]
    assert not any(given.startswith("Basic") or PASSWORD in given for given in plug.heard)


def test_the_plug_of_this_test_takes_what_curl_gives(plug: Plug) -> None:
    argv = ("curl", "--silent", "--fail", "--digest", "--user", f"{USER}:{PASSWORD}", f"{plug.url}/state")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout == '{"output":true}'


def test_a_wrong_password_is_told_as_such(plug: Plug) -> None:
    with pytest.raises(WrongCredentials, match=r"HTTP status 401.*Check power\.user"):
        plug.seen(password="wrong-horse", login="digest")


def test_who_has_not_said_digest_is_told_to(plug: Plug) -> None:
    with pytest.raises(WrongCredentials, match=r"power\.login: digest"):
        plug.seen(password=PASSWORD)


@pytest.mark.parametrize("plug", ["SHA-3", "MD5, x"], indirect=True)
def test_a_challenge_that_is_not_known_is_told(plug: Plug) -> None:
    with pytest.raises(ProvisionerError, match="digest login in a way that isn't known") as refused:
        plug.seen(password=PASSWORD, login="digest")
    assert isinstance(refused.value, DeviceRefused)
