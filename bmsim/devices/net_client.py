"""DHCP, TFTP and HTTP as firmware, loaders and systems speak them: how often they ask, when they give up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmsim.devices.messages import (
    BootpReply,
    BootpRequest,
    DhcpAck,
    DhcpDiscover,
    DhcpNak,
    DhcpOffer,
    DhcpRequest,
    Fetched,
    HttpAnswer,
    HttpFailed,
    HttpGet,
    Input,
    NfsData,
    NfsError,
    NfsRead,
    TftpData,
    TftpError,
    TftpRead,
)
from bmsim.devices.running import Failure, Flow, Running


@dataclass(frozen=True, slots=True)
class DhcpClient:
    """architecture, client: as in DhcpDiscover. waits_s: how long it waits for an answer, try by try.
    boots: an offer without a boot file is none to it. deferrals: how often it waits once more, as long as
    it sees that its port blocks."""

    architecture: int | None
    client: str
    waits_s: Sequence[float]
    boots: bool = False
    deferrals: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """boot_file: a file of `server`, or a URL; empty: an address only."""

    address: str
    server: str
    boot_file: str
    root_path: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """What was fetched. text: None for what only a machine reads; head: its first bytes, of what is looked
    into."""

    size_bytes: int
    text: str | None = None
    head: bytes = b""


def lease(machine: Running, client: DhcpClient) -> Flow[Lease | Failure]:
    ask, named, tries, deferred = machine.ask(), True, 0, 0
    while tries < len(client.waits_s):
        machine.send(DhcpDiscover(ask, machine.mac, client.architecture, client.client))
        until_s = machine.now_s + client.waits_s[tries]
        while (given := (yield from machine.answer(ask, until_s - machine.now_s))) is not None:
            if not isinstance(given, DhcpOffer):
                continue
            if client.boots and not given.boot_file:
                named = False
                continue
            taken = yield from _request(machine, client, ask, given)
            if isinstance(taken, Lease):
                machine.address = taken.address
                return taken
            break
        if machine.port.blocks(machine.now_s) and deferred < client.deferrals:
            tries, deferred = 0, deferred + 1
        else:
            tries += 1
    return Failure("no DHCP offers were received" if named else "no boot filename received")


def _request(machine: Running, client: DhcpClient, ask: int, offer: DhcpOffer) -> Flow[Lease | None]:
    """None: refused, or not answered; then the client looks for offers again."""
    for wait_s in client.waits_s:
        machine.send(
            DhcpRequest(ask, machine.mac, client.architecture, client.client, offer.address, offer.server)
        )
        until_s = machine.now_s + wait_s
        while (given := (yield from machine.answer(ask, until_s - machine.now_s))) is not None:
            if isinstance(given, DhcpAck):
                boot_file = given.boot_file or offer.boot_file
                return Lease(given.address, given.server, boot_file, given.root_path)
            if isinstance(given, DhcpNak):
                return None
    return None


def bootp_lease(machine: Running, waits_s: Sequence[float], *, boots: bool) -> Flow[Lease | Failure]:
    """By one question and one answer (RFC 951). waits_s, boots: as of a DhcpClient."""
    ask, named = machine.ask(), True
    for wait_s in waits_s:
        machine.send(BootpRequest(ask, machine.mac))
        until_s = machine.now_s + wait_s
        while (given := (yield from machine.answer(ask, until_s - machine.now_s))) is not None:
            if not isinstance(given, BootpReply):
                continue
            if boots and not given.boot_file:
                named = False
                continue
            machine.address = given.address
            return Lease(given.address, given.server, given.boot_file, given.root_path)
    return Failure("no BOOTP reply was received" if named else "no boot filename received")


def tftp(machine: Running, server: str, file: str, waits_s: Sequence[float]) -> Flow[Body | Failure]:
    """waits_s: how long it waits for a block, try by try, before it says again which one it has."""
    ask, began_s = machine.ask(), machine.now_s
    received = silent = 0
    while silent < len(waits_s):
        machine.send(TftpRead(ask, machine.mac, machine.address, server, file, received))
        given = yield from _more(machine, ask, waits_s[silent], received)
        if isinstance(given, TftpError):
            return Failure(f"TFTP error: {given.why}")
        if given is None:
            silent += 1
            continue
        end = given.size_bytes if given.complete else given.received_bytes
        yield from machine.sleep((end - received) / machine.timing.tftp_bytes_per_s)
        received, silent = end, 0
        if given.complete:
            return _fetched(machine, ask, file, began_s, Body(given.size_bytes, head=given.head))
    return Failure("TFTP timeout")


def _more(machine: Running, ask: int, wait_s: float, received: int) -> Flow[TftpData | TftpError | None]:
    """The next answer that tells more than is known."""
    until_s = machine.now_s + wait_s
    while (given := (yield from machine.answer(ask, until_s - machine.now_s))) is not None:
        if isinstance(given, TftpError):
            return given
        if isinstance(given, TftpData) and (given.complete or given.received_bytes > received):
            return given
    return None


def http(machine: Running, url: str, waits_s: Sequence[float]) -> Flow[Body | Failure]:
    """waits_s: how long it waits for the head of the answer, before its TCP sends again what may be lost."""
    ask, began_s = machine.ask(), machine.now_s
    given: Input | None = None
    for wait_s in waits_s:
        machine.send(HttpGet(ask, machine.mac, machine.address, url))
        given = yield from machine.answer(ask, wait_s)
        if given is not None:
            break
    else:
        return Failure("Connection timed out")
    if not isinstance(given, HttpAnswer):
        return Failure("Connection reset")
    if given.status != 200:
        return Failure(f"HTTP {given.status}")
    until_s = machine.now_s + given.size_bytes / machine.timing.http_bytes_per_s
    while (cut := (yield from machine.answer(ask, until_s - machine.now_s))) is not None:
        if isinstance(cut, HttpFailed):
            return Failure("Connection reset")
    return _fetched(machine, ask, url, began_s, Body(given.size_bytes, given.text))


def nfs(machine: Running, root: str, file: str, wait_s: float) -> Flow[bytes | Failure]:
    """The first bytes of a file. A server that doesn't answer is asked for ever, as by a hard mount."""
    ask, told = machine.ask(), False
    while True:
        machine.send(NfsRead(ask, machine.mac, machine.address, root, file))
        match (yield from machine.answer(ask, wait_s)):
            case NfsData(head=head):
                return head
            case NfsError(why=why):
                return Failure(why)
        if not told:
            machine.say(f"nfs: server {root.partition(':')[0]} not responding, still trying")
            told = True


def _fetched(machine: Running, ask: int, source: str, began_s: float, body: Body) -> Body:
    seconds = machine.now_s - began_s
    machine.out.append(Fetched(ask, machine.mac, machine.address, source, body.size_bytes, seconds))
    return body
