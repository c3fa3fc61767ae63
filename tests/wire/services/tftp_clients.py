"""A TFTP server with something to fetch, and those that fetch it."""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tftpy import TftpClient

from provisioner.protocols.netboot import Offer
from provisioner.services.system import SystemClock
from provisioner.services.tftp import TftpService
from tests.wire.services.conftest import Heard
from tests.wire.services.segment import HOST, NODE, Segment

ERROR = b"\0\5"
READ_REQUEST = b"\0\1loader.efi\0octet\0"


def offer(loader: Path, node: str = "n1", address: str = NODE, ahead: frozenset[str] = frozenset()) -> Offer:
    """The loader, to a node."""
    return Offer(
        node_id=node,
        node_name=node,
        macs=(f"mac of {node}",),
        addresses=(address,),
        tftp_files={"loader.efi": loader},
        tftp_ahead=ahead,
    )


@asynccontextmanager
async def server(
    heard: Heard, loader: Path, ahead: frozenset[str] = frozenset()
) -> AsyncIterator[TftpService]:
    """It has the loader for the node n1, which is at NODE. ahead: names of what is sent ahead."""
    async with TftpService(HOST, heard, SystemClock()) as service:
        await service.offer(offer(loader, ahead=ahead))
        yield service


async def fetch(
    network: Segment, name: str, source: str = NODE, options: Mapping[str, int] | None = None
) -> bytes:
    """As tftpy does it, at the nodes' end."""

    def call() -> bytes:
        got = io.BytesIO()
        TftpClient(HOST, 69, options=dict(options or {}), localip=source).download(name, got, timeout=5)
        return got.getvalue()

    return await network.run_at_node(call)


def client_at(network: Segment, source: str = NODE) -> socket.socket:
    """One that asks by hand."""
    with network.at_node():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(10)
    made.bind((source, 0))
    return made


def request(network: Segment, packet: bytes = READ_REQUEST, source: str = NODE) -> socket.socket:
    """A socket of the node's that has just asked."""
    made = client_at(network, source)
    made.sendto(packet, (HOST, 69))
    return made
