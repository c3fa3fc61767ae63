"""EC2's instance metadata, at 169.254.169.254: each instance reads what it is told of itself, by its address.

Version 1 is plain questions; version 2 asks for a token first, which an attacker who can only have a program
fetch something for him doesn't get: by PUT, with a header, over one hop, and not through a proxy.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import re
from collections import OrderedDict
from types import TracebackType

import structlog

from provisioner.core.errors import ProvisionerError
from provisioner.core.metadata import Folder
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink, WireEvent
from provisioner.protocols.metadata import MetadataSource, Seals, Told
from provisioner.services.http_connection import HttpConnection, Request
from provisioner.services.http_listener import HttpListener
from provisioner.services.quota import Quota

log = structlog.get_logger(__name__)

ADDRESS, PORT = "169.254.169.254", 80
VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01"),
    *("2008-09-01", "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05"),
    *("2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24"),
    *("2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "latest"),
)
"""Of EC2's; all tell the same here."""

TOKEN_PATH = "/latest/api/token"
TOKEN_HEADER = "x-aws-ec2-metadata-token"
TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
MAX_TTL_S = 21600
MAX_TOKEN = 512
HOPS = 1
READING = ("GET", "HEAD")
PLAIN = {"content-type": "text/plain", "cache-control": "no-store"}

FRESH_S = 1.0
"""For so long what the store said is believed: a boot asks for some thirty things, one after another."""

MAX_KNOWN = 4096
LOGGED_EVERY_S = 60.0
TOLD_OF_EVERY_S = 10.0

_TTL = re.compile(r"[0-9]{1,5}")
_KIND = "instance-metadata"


class MetadataService:
    """only_v2: nothing is told without a token."""

    def __init__(
        self,
        source: MetadataSource,
        seals: Seals,
        sink: EventSink,
        clock: Clock,
        *,
        device: str,
        only_v2: bool = False,
        address: str = ADDRESS,
        port: int = PORT,
    ) -> None:
        """device: the interface that nodes ask at; others are not heard. port: 0 = any that is free."""
        self._source = source
        self._seals = seals
        self._sink = sink
        self._clock = clock
        self._only_v2 = only_v2
        self._known: OrderedDict[str, tuple[float, Told | None]] = OrderedDict()
        self._failures = Quota(clock, every_s=LOGGED_EVERY_S)
        self._signs = Quota(clock, every_s=TOLD_OF_EVERY_S)
        self._listener = HttpListener(
            address,
            port,
            self._serve,
            device=device,
            advice=f"Give this system the address: `ip address add {address}/32 dev lo`, and the same in its "
            "network configuration; nothing else may listen there. Or set network.metadata to none",
        )

    @property
    def port(self) -> int:
        return self._listener.port

    async def __aenter__(self) -> MetadataService:
        await self._listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.stop()

    async def _serve(self, connection: HttpConnection, request: Request) -> None:
        # Whatever forwards questions of others would get them the answers that are its own.
        if "x-forwarded-for" in request.headers:
            await connection.answer(403)
            return
        try:
            told = await self._told(request.peer)
        except ProvisionerError as error:
            if self._failures.admits(""):
                log.warning("metadata.waits_for_store", cause=error.message)
            await connection.answer(503, headers={"retry-after": "1"})
            return
        if told is None:
            await connection.answer(404)
        elif request.path == TOKEN_PATH:
            await self._give_token(connection, request, told)
        else:
            await self._tell(connection, request, told)

    async def _told(self, peer: str) -> Told | None:
        now_s = self._clock.monotonic_s()
        known = self._known.get(peer)
        if known is not None and now_s - known[0] < FRESH_S:
            return known[1]
        told = await self._source.of(peer)
        self._known[peer] = (now_s, told)
        self._known.move_to_end(peer)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return told

    async def _give_token(self, connection: HttpConnection, request: Request, told: Told) -> None:
        if request.method != "PUT":
            await connection.answer(405, headers={"allow": "PUT"})
            return
        ttl = request.headers.get(TTL_HEADER, "")
        if not _TTL.fullmatch(ttl) or not 1 <= int(ttl) <= MAX_TTL_S:
            await connection.answer(400)
            return
        expires = int(told.at.timestamp()) + int(ttl)
        token = self._seals.seal(f"{_KIND} {told.instance_id} {expires}")
        connection.bound_hops(HOPS)
        # The last on its connection, which can't reach further any more.
        await connection.answer(200, token, headers={**PLAIN, TTL_HEADER: ttl, "connection": "close"})

    async def _tell(self, connection: HttpConnection, request: Request, told: Told) -> None:
        if request.method not in READING:
            await connection.answer(405, headers={"allow": "GET, HEAD"})
            return
        token = request.headers.get(TOKEN_HEADER)
        if (token is None and self._only_v2) or (token is not None and not self._is_good(token, told)):
            await connection.answer(401)
            return
        found = _find(request.path, told.tree)
        if found is None:
            await connection.answer(404)
            return
        if told.awaited and self._signs.admits(request.peer):
            said = f"the instance asks for its metadata from {request.peer}"
            self._sink(WireEvent(source="http", name="instance.metadata", address=request.peer, text=said))
        text = found if isinstance(found, str) else found.listing()
        await connection.answer_text(request, text)

    def _is_good(self, token: str, told: Told) -> bool:
        """Made by a host of this place for this very instance, and not too old."""
        if len(token) > MAX_TOKEN:
            return False
        try:
            kind, instance_id, expires = self._seals.open(token).split(" ")
            fresh = told.at.timestamp() < int(expires)
        except (ProvisionerError, ValueError):
            return False
        return fresh and (kind, instance_id) == (_KIND, told.instance_id)


def _find(path: str, tree: Folder) -> Folder | str | None:
    """Several slashes are as one, as at EC2."""
    way = [name for name in path.split("/") if name]
    if not way:
        return "\n".join(VERSIONS)
    return tree.find(way[1:]) if way[0] in VERSIONS else None
