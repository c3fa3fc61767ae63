"""Files for two nodes by HTTP, and a client at the nodes' end."""

from __future__ import annotations

import http.client
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from provisioner.protocols.netboot import Offer
from provisioner.services.node_http import NodeHttpService
from provisioner.services.system import SystemClock
from tests.wire.services.conftest import Heard
from tests.wire.services.segment import HOST, NODE, STRANGER, Segment

TOKEN, OTHER_TOKEN = "a1" * 16, "b2" * 16
SCRIPT = "#!ipxe\nboot\n"


class Server:
    """A server with two nodes, and a client at the nodes' end."""

    def __init__(self, service: NodeHttpService, network: Segment) -> None:
        self.service = service
        self._network = network

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        source: str = NODE,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        def call() -> tuple[int, bytes, http.client.HTTPMessage]:
            connection = http.client.HTTPConnection(
                HOST, self.service.port, timeout=20, source_address=(source, 0)
            )
            try:
                connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.headers
            finally:
                connection.close()

        return await self._network.run_at_node(call)

    def connect(self, source: str = NODE) -> socket.socket:
        with self._network.at_node():
            return socket.create_connection((HOST, self.service.port), 20, (source, 0))


@asynccontextmanager
async def server(network: Segment, heard: Heard, kernel: Path) -> AsyncIterator[Server]:
    """Of the node n1, which is at NODE, and of n2, which is at STRANGER; only n1 has booted an agent."""
    async with NodeHttpService(HOST, 0, heard, SystemClock()) as service:
        for node, address, token in (("n1", NODE, TOKEN), ("n2", STRANGER, OTHER_TOKEN)):
            await service.offer(
                Offer(
                    node_id=node,
                    node_name=node,
                    macs=(f"mac of {node}",),
                    addresses=(address,),
                    token=token,
                    bearer=token if node == "n1" else "",
                    files={"boot.ipxe": SCRIPT, "kernel": kernel, "gone": kernel.with_name("gone")},
                )
            )
        yield Server(service, network)
