"""The HTTP server that nodes see: their own boot files, and the two ways in which they report.

A file is given only to the node's address and for the node's token. Everything else is 404.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import structlog

from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink, WireEvent
from provisioner.protocols.netboot import Offer
from provisioner.services.descriptors import SHORTAGES
from provisioner.services.http_connection import HttpConnection, Request, Sent
from provisioner.services.http_listener import RETRY_AFTER_S, HttpListener
from provisioner.services.quota import Quota

log = structlog.get_logger(__name__)

REFUSED_EVERY_S = BUSY_EVERY_S = 5.0
CALL_EVERY_S = 1.0
"""An instance belongs to its tenant: it may phone home so often, and no more of it is kept."""

MAX_FIELD_CHARACTERS = 128

BOOT_PATH = re.compile(r"/boot/([0-9A-Za-z]{1,128})/([0-9A-Za-z][0-9A-Za-z._-]{0,63})")
PHONE_HOME_PATH = re.compile(r"/phone-home/([0-9A-Za-z]{1,128})")
HELLO_PATH = "/agent/v1/hello"
READING = ("GET", "HEAD")


class NodeHttpService:
    """`protocols.netboot.NetbootService` by HTTP, and the ear for agents and instances."""

    def __init__(self, address: str, port: int, sink: EventSink, clock: Clock) -> None:
        """port: 0 = any that is free."""
        self._address = address
        self._listener = HttpListener(
            address, port, self._serve, advice="Is the address in the configuration ours, and the port free?"
        )
        self._sink = sink
        self._clock = clock
        self._offers: dict[str, Offer] = {}  # by the node's address
        self._by_node: dict[str, Offer] = {}
        self._heard_boots: dict[str, str] = {}  # node → the boot whose agent has reported
        self._refusals = Quota(clock, every_s=REFUSED_EVERY_S)
        self._pleas = Quota(clock, every_s=BUSY_EVERY_S)
        self._calls = Quota(clock, every_s=CALL_EVERY_S)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self.port}"

    async def offer(self, offer: Offer) -> None:
        self._forget(offer.node_id)
        self._by_node[offer.node_id] = offer
        for address in offer.addresses:
            self._offers[address] = offer

    async def withdraw(self, node_id: str) -> None:
        for address in self._forget(node_id):
            self._listener.hang_up(address)
        self._heard_boots.pop(node_id, None)

    def _forget(self, node_id: str) -> list[str]:
        """Addresses that nothing is offered to any more."""
        old = self._by_node.pop(node_id, None)
        gone = [address for address in old.addresses if self._offers.get(address) is old] if old else []
        for address in gone:
            del self._offers[address]
        return gone

    async def __aenter__(self) -> NodeHttpService:
        await self._listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.stop()

    async def _serve(self, connection: HttpConnection, request: Request) -> None:
        if boot := BOOT_PATH.fullmatch(request.path):
            await self._serve_file(connection, request, token=boot[1], name=boot[2])
        elif request.path == HELLO_PATH and request.method == "POST":
            await self._hear_agent(connection, request)
        elif (call := PHONE_HOME_PATH.fullmatch(request.path)) and request.method == "POST":
            await self._hear_instance(connection, request, token=call[1])
        else:
            await connection.answer(404)

    async def _serve_file(
        self, connection: HttpConnection, request: Request, *, token: str, name: str
    ) -> None:
        offer = self._offers.get(request.peer)
        # Compared even without an offer, so that the time taken tells nothing.
        known = hmac.compare_digest(token.encode(), (offer.token if offer else "").encode())
        file = offer.files.get(name) if offer is not None and known else None
        if file is None or request.method not in READING:
            self._refused(request, name, "another node's token, or one of before" if not known else "")
            await connection.answer(404)
            return
        began_s = self._clock.monotonic_s()
        try:
            sent = await self._send(connection, request, file)
        except OSError as error:
            if error.errno in SHORTAGES:
                await self._put_off(connection, request, name, error.strerror or str(error))
                return
            log.error("node_http.file_gone", file=str(file), cause=error.strerror)
            self._refused(request, name, f"the file is gone: {error.strerror}")
            await connection.answer(404)
            return
        if request.method == "GET":
            self._sent(request, name, sent, self._clock.monotonic_s() - began_s)

    async def _send(self, connection: HttpConnection, request: Request, file: Path | str) -> Sent:
        if isinstance(file, str):
            return await connection.answer_text(request, file)
        return await connection.answer_file(request, file)

    def _sent(self, request: Request, name: str, sent: Sent, seconds: float) -> None:
        """http.sent only when the file's last byte went out: whoever diagnoses takes it for fetched."""
        detail = {
            "file": name,
            "bytes": sent.sent_bytes,
            "size": sent.size_bytes,
            "seconds": round(seconds, 3),
        }
        if sent.cut:
            text = f"{name} cut after {sent.sent_bytes} of {sent.wanted_bytes} bytes"
            self._emit("http", "http.cut", request, text, detail)
        elif sent.reached_the_end:
            text = f"{name} sent, {sent.sent_bytes} bytes in {seconds:.1f} s"
            self._emit("http", "http.sent", request, text, detail)

    async def _put_off(self, connection: HttpConnection, request: Request, name: str, why: str) -> None:
        """Has the node ask again: any other error ends its boot."""
        if self._pleas.admits(request.peer):
            text = f"{request.method} of {name} is to be tried again: {why}"
            self._emit("http", "http.busy", request, text, {"file": name})
        await connection.answer(503, headers={"retry-after": str(RETRY_AFTER_S)})

    def _refused(self, request: Request, name: str, why: str) -> None:
        if self._refusals.admits(request.peer):
            text = f"{request.method} of {name} refused" + (f": {why}" if why else "")
            self._emit("http", "http.refused", request, text, {"file": name})

    async def _hear_agent(self, connection: HttpConnection, request: Request) -> None:
        offer = self._offers.get(request.peer)
        bearer = offer.bearer if offer else ""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {bearer}".encode()) or not bearer or not offer:
            self._refused(request, "agent's report", "not the token that it was booted with")
            await connection.answer(401)
            return
        said = _short_fields(request.json_object())
        boot_id = str(said.get("boot_id", ""))
        if self._heard_boots.get(offer.node_id) != boot_id:  # it repeats itself, to be sure
            self._heard_boots[offer.node_id] = boot_id
            text = f"the agent reports from {request.peer}"
            self._emit("agent", "agent.hello", request, text, said, node_id=offer.node_id)
        await connection.answer(200)

    async def _hear_instance(self, connection: HttpConnection, request: Request, *, token: str) -> None:
        """Whether it is the instance that is waited for is for the listener to say: it knows the token."""
        offer = self._offers.get(request.peer)
        if offer is None:
            await connection.answer(404)
            return
        digest = hashlib.sha256(token.encode()).hexdigest()
        if not self._calls.admits(request.peer):
            await connection.answer(429, headers={"retry-after": str(int(CALL_EVERY_S))})
            return
        self._emit(
            "http",
            "instance.phone_home",
            request,
            f"the instance phones home from {request.peer}",
            {"token_sha256": digest},
            node_id=offer.node_id,
        )
        await connection.answer(200)

    def _emit(
        self,
        source: str,
        name: str,
        request: Request,
        text: str,
        detail: Mapping[str, object],
        *,
        node_id: str = "",
    ) -> None:
        self._sink(
            WireEvent(
                source=source, name=name, node_id=node_id, address=request.peer, text=text, detail=detail
            )
        )


def _short_fields(said: Mapping[str, object]) -> dict[str, str | int]:
    """What an agent says of itself, as far as anybody reads it."""
    kept: dict[str, str | int] = {}
    for name in ("boot_id", "port", "address", "mac", "version"):
        value = said.get(name)
        if isinstance(value, str):
            kept[name] = value[:MAX_FIELD_CHARACTERS]
        elif isinstance(value, int) and 0 <= value <= 65535:
            kept[name] = value
    return kept
