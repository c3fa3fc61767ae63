"""What `protocols.probe` promises: of sockets between two network namespaces, and in the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest

from provisioner.protocols.probe import PingProbe, SshProbe
from provisioner.services.icmp_probe import IcmpProbe
from provisioner.services.ssh_probe import TcpSshProbe
from scenarios.runner.model.consoles import ModelPingProbe, ModelSshProbe
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.virtual_time import run
from tests.wire.services.segment import NODE, segment
from tests.wire.services.ssh_servers import greets, listening

DEADLINE_S = 60.0
NOBODY = "10.77.0.77"
"""An address of the node's network that no interface has."""


@dataclass(frozen=True, slots=True)
class Bench:
    """sshd: an SSH server runs at NODE as long as that is entered."""

    ping: PingProbe
    ssh: SshProbe
    sshd: Callable[[], AbstractAsyncContextManager[None]]


Story = Callable[[Bench], Awaitable[None]]


@asynccontextmanager
async def by_sockets() -> AsyncIterator[Bench]:
    with segment() as made:
        yield Bench(IcmpProbe(), TcpSshProbe(), lambda: listening(made, greets))


@asynccontextmanager
async def in_the_model() -> AsyncIterator[Bench]:
    serving: set[str] = set()

    @asynccontextmanager
    async def sshd() -> AsyncIterator[None]:
        serving.add(NODE)
        yield
        serving.remove(NODE)

    wires = Wires(Random(1), lambda fault, link, what: None)
    wires.inject("net.partition", "nobody", "", {}, Random(2))

    def link_to(address: str) -> Link:
        return Link("any", "h1", "n1" if address == NODE else "nobody")

    yield Bench(
        ModelPingProbe(wires, link_to, lambda address: True),
        ModelSshProbe(wires, link_to, lambda address: address != NODE or NODE in serving),
        sshd,
    )


@pytest.fixture(params=["model", pytest.param("sockets", marks=pytest.mark.wire)])
def play(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    bench = in_the_model if request.param == "model" else by_sockets

    def played(story: Story) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(DEADLINE_S), bench() as made:
                await story(made)

        if request.param == "model":
            run(bounded(), 1)
        else:
            asyncio.run(bounded())

    return played


def test_a_node_that_is_up_answers_a_ping(play: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.ping.answers(NODE)

    play(story)


def test_a_ping_to_nobody_is_answered_by_nobody(play: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        assert not await bench.ping.answers(NOBODY)
        assert await bench.ping.answers(NODE)  # and the next one is heard

    play(story)


def test_pings_at_once_are_told_apart(play: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        asked = [NODE, NOBODY] * 4
        heard = await asyncio.gather(*(bench.ping.answers(address) for address in asked))
        assert heard == [address == NODE for address in asked]

    play(story)


def test_the_line_of_an_ssh_server_is_told_while_it_runs(play: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.ssh.banner(NODE) is None
        async with bench.sshd():
            told = await bench.ssh.banner(NODE)
            assert told is not None
            assert told.startswith("SSH-2.0-")
            assert told == told.strip()
        assert await bench.ssh.banner(NODE) is None

    play(story)


def test_nobody_greets_where_packets_get_lost(play: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        async with bench.sshd():
            assert await bench.ssh.banner(NOBODY) is None
            assert await bench.ssh.banner(NODE) is not None

    play(story)
