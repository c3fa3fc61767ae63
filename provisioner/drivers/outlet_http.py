"""An outlet behind URLs: one switches it on, one off, one tells its state."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from provisioner.core.errors import (
    DeviceBusy,
    DeviceRefused,
    DeviceUnreachable,
    InvalidInput,
    PermanentError,
    WrongCredentials,
)
from provisioner.core.outlet_urls import URLS
from provisioner.core.outlets import OutletState, Seen, together
from provisioner.core.shown_url import shown_url
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_turns import Turns
from provisioner.drivers.outlet_verbs import ends_on
from provisioner.protocols.power import PowerControl, PowerVerb

LONGEST_COMMAND_S = 4.0
LONGEST_ANSWER_BYTES = 64 * 1024

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
MISNAMED = ("Hostname mismatch", "IP address mismatch")
NOT_NOW = ("certificate has expired", "certificate is not yet valid")
NOBODYS = ("self-signed certificate", "unable to get")
"""In OpenSSL's words for it."""

LOGINS: Mapping[str, Callable[[str, str], httpx.Auth]] = {
    "basic": httpx.BasicAuth,
    "digest": httpx.DigestAuth,
}
"""RFC 7617 and RFC 7616, by their names in `power.login`."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
"""RFC 6750 §2.1, and what else a header's value bears: an HTTP client that is given more tells all of it."""


class HttpOutlet:
    """`PowerControl` and `Feeds` of one node."""

    longest_command_s = LONGEST_COMMAND_S

    def __init__(
        self,
        client: httpx.AsyncClient,
        turns: Turns,
        address: Mapping[str, str],
        secret: Mapping[str, str],
        discharge_s: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        """tls: for a server that `client` doesn't trust"""
        self.discharge_s = discharge_s
        self._tls = tls
        self._client = client
        self._address = address
        self._turns = {name: turns.of(_server(address[name])) for name in ("on", "off", "state")}
        self._name = f"outlet at {urlsplit(address['state']).hostname}"
        self._headers = {"Authorization": f"Bearer {secret['token']}"} if "token" in secret else {}
        self._user, self._password = address.get("user"), secret.get("password", "")
        self._login = address.get("login", "basic")
        self._last: dict[str, Seen] = {}

    def last_seen(self) -> Mapping[str, Seen]:
        return self._last

    async def power_state(self) -> PowerState:
        text = await self._request("read its state", "GET", "state")
        is_on, is_off = self._address["when_on"] in text, self._address["when_off"] in text
        state = OutletState.UNKNOWN
        if is_on != is_off:  # "on" in the words of both tells nothing
            state = OutletState.ON if is_on else OutletState.OFF
        self._last = {"outlet": Seen(state)}
        return together([state])

    async def set_power(self, verb: PowerVerb) -> None:
        tried = f"switch {verb}"
        which = "on" if ends_on(verb, tried, self._name) else "off"
        await self._request(tried, self._address.get("method", "POST"), which)

    async def _request(self, tried: str, method: str, which: str) -> str:
        """which: of the URLs."""
        try:
            async with (
                asyncio.timeout(LONGEST_COMMAND_S - 0.1),
                self._turns[which].taken(tried, self._name, LONGEST_COMMAND_S),
            ):
                status, text, challenge = await self._exchange(method, self._address[which])
        except (httpx.InvalidURL, UnicodeError) as error:
            # Of a URL with a login or a query, the error may tell a part of it.
            whole = shown_url(self._address[which]) == self._address[which]
            raise PermanentError(
                tried,
                device=self._name,
                answer="its URL can't be used" + (f": {error}" if whole else ""),
                advice="Check the URLs",
            ) from (error if whole else None)
        except (KeyError, ValueError) as error:
            if self._login != "digest":
                raise
            raise DeviceRefused(
                tried,
                device=self._name,
                answer="it asks for a digest login in a way that isn't known (RFC 7616)",
                advice="Give no power.login, if it takes another, or use driver: command",
            ) from error
        except (httpx.HTTPError, TimeoutError) as error:
            answer = str(error) or f"no answer in {LONGEST_COMMAND_S:g} s"
            advice = "Look at its power and its network"
            if UNTRUSTED in answer:
                advice = _about_its_certificate(answer, self._address[which], given=self._tls is not None)
            raise DeviceUnreachable(tried, device=self._name, answer=answer, advice=advice) from error
        if status < 300:
            return text
        told_status = f"HTTP status {status}"
        if status in (401, 403):
            advice = "Check power.user, power.password or power.token"
            if challenge.lower().startswith("digest") and self._login != "digest":
                advice = "It takes a digest login: give power.user, power.password, and power.login: digest"
            raise WrongCredentials(tried, device=self._name, answer=told_status, advice=advice)
        if status in (408, 429) or status >= 500:
            advice = "If it goes on, look at the server's own log"
            if status == 429:
                advice = "It takes fewer requests than it is sent: raise its limit, or power.refresh_s"
            raise DeviceBusy(tried, device=self._name, answer=told_status, advice=advice)
        raise DeviceRefused(
            tried, device=self._name, answer=told_status, advice="Check the URLs and power.method"
        )

    async def _exchange(self, method: str, url: str) -> tuple[int, str, str]:
        """The answer, of its text what LONGEST_ANSWER_BYTES hold, and which login it asks for."""
        auth = LOGINS[self._login](self._user, self._password) if self._user else httpx.USE_CLIENT_DEFAULT
        async with (
            self._connected() as client,
            client.stream(method, url, headers=self._headers, auth=auth) as answer,
        ):
            text = bytearray()
            async for piece in answer.aiter_bytes():
                text += piece
                if len(text) >= LONGEST_ANSWER_BYTES:
                    break
            asked = answer.headers.get("www-authenticate", "")
            return answer.status_code, text.decode("utf-8", "replace"), asked

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[httpx.AsyncClient]:
        if self._tls is None:
            yield self._client
            return
        # A client trusts the same authorities wherever it connects to.
        async with httpx.AsyncClient(trust_env=False, verify=self._tls) as client:
            yield client


class HttpDevices:
    """`protocols.power.DeviceFactory` of the driver `http`.

    address: on, off, state, when_on, when_off; method (POST), user, login (basic), discharge_s, ca. secret:
    password or token; on, off, state in place of the address's, where they have a query.
    """

    def __init__(self, client: httpx.AsyncClient, *, discharge_s: float) -> None:
        self._client = client
        self._discharge_s = discharge_s
        self._turns = Turns()

    def __call__(
        self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]
    ) -> PowerControl:
        if "token" in secret and not _TOKEN.fullmatch(secret["token"]):
            raise InvalidInput(
                f"reach the outlet of node {node_name}",
                field="power.token",
                answer="it has a blank, the end of a line, or a letter that isn't ASCII",
                advice="Enrol the node with the token alone",
            )
        words = {name: str(value) for name, value in address.items()}
        words |= {name: secret[name] for name in URLS if name in secret}
        discharge_s = float(words.get("discharge_s", self._discharge_s))
        tls = _trusting(words["ca"]) if "ca" in words else None
        return HttpOutlet(self._client, self._turns, words, secret, discharge_s, tls)


def _trusting(ca: str) -> ssl.SSLContext:
    """These certificates alone. One of a device, which isn't an authority's, is trusted as that device's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=ca)
    return context


def _about_its_certificate(answer: str, url: str, *, given: bool) -> str:
    """What to do about one that isn't trusted. given: whether there is a `power.ca`"""
    parsed = urlsplit(url)
    at = parsed.netloc.rpartition("@")[2] + ("" if parsed.port else ":443")
    shown = (
        f"; `openssl s_client -connect {at} < /dev/null | openssl x509 -noout -subject -dates "
        "-ext subjectAltName` shows it"
    )
    if any(words in answer for words in MISNAMED):
        return (
            f"Its certificate isn't for {parsed.hostname}, which no power.ca mends: have the URLs name it as "
            "its certificate does, by a name that compute hosts find in DNS or /etc/hosts, or give it a "
            f"certificate for {parsed.hostname}{shown}"
        )
    if any(words in answer for words in NOT_NOW):
        return (
            "Look at this system's clock, or give the device a new certificate, and the node that one where "
            f"power.ca is the old one{shown}"
        )
    if not given:
        return "Give its authority's certificate, or its own, as power.ca (docs/nodes.md tells how to get it)"
    if any(words in answer for words in NOBODYS):
        return (
            "power.ca has neither its certificate nor its authority's: if the device was given a new one, "
            f"give the node that{shown}"
        )
    return f"Give the device a certificate of which that can't be said{shown}"


def _server(url: str) -> tuple[str, str]:
    """What the requests to it share."""
    parsed = urlsplit(url)
    return parsed.scheme, parsed.netloc.rpartition("@")[2].lower()
