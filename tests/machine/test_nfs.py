"""A root by NFS, from the request to a login, and back to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from subprocess import SubprocessError

import pytest

from bmsim.faults.catalogue import CATALOGUE
from scenarios.runner.client import Client
from scenarios.runner.machine.stage import MachineStage
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Order
from scenarios.runner.story import Deploy, Power, Story
from scenarios.runner.trace import Trace
from tests.failover_stories import FAULTS
from tests.machine.commands import DEADLINES_S
from tests.machine.lab import Lab
from tests.machine.racks import BY_GANESHA, node, served_by_nfs

pytestmark = pytest.mark.machine

BOOT, MOUNTED = "cat /proc/sys/kernel/random/boot_id", "grep ' / nfs4 ' /proc/mounts"


@pytest.mark.parametrize(
    ("firmware", "image"), [("bios", "debian"), pytest.param("uefi", "tiny", marks=pytest.mark.full)]
)
def test_a_machine_runs_on_a_root_that_is_served_to_it(
    new_lab: Callable[..., Lab], firmware: str, image: str
) -> None:
    patience = {"resumed_deadline_s": 60, "running_deadline_s": DEADLINES_S["active"]}
    lab = new_lab(node(firmware=firmware), nfs=BY_GANESHA, deploy=patience)
    lab.ready(image, change=served_by_nfs)
    address = lab.runs("web", image)
    (root,) = lab.roots()

    assert "nfs4" in lab.ssh(address, "grep", "' / '", "/proc/mounts")
    assert lab.ssh(address, "hostname").strip() == "web"
    if image == "debian":
        systemd_keeps_its_network(lab, address)
    lab.ssh(address, "echo written by the machine > note")
    assert (root / "home/debian/note").read_text() == "written by the machine\n"

    # The server of its root dies with the provisioner; the machine waits, and goes on with the next one.
    lab.kill()
    lab.start()
    assert lab.ssh(address, "cat note") == "written by the machine\n"

    lab.ends("web")
    assert lab.roots() == []


def systemd_keeps_its_network(lab: Lab, address: str) -> None:
    """What set its address up before systemd came is taken over, and none of its units waits for the rest."""
    assert lab.ssh(address, "systemctl", "is-system-running", "--wait").strip() == "running"
    told = lab.ssh(address, "networkctl", "status", "eth0")
    assert "(configured)" in told and f"{address} (DHCP4 via 10.77.0.10)" in told


@pytest.mark.parametrize(
    "befalls", ["frozen", pytest.param("cut off from the store", marks=pytest.mark.full)]
)
def test_a_machine_lives_on_its_root_when_the_host_that_serves_it_loses_its_lease(befalls: str) -> None:
    """Another takes its node over, and the host comes back: the machine's root is served from there all the
    time, and lacks nothing that was written meanwhile. When it boots again, it mounts the same root from its
    node's owner."""
    hosts, nodes = rack(1, 2)
    asked = Deploy(instance="web", image="tiny", node="n1")
    story = Story(
        name="root-of-a-lost-lease",
        hosts=hosts,
        nodes=tuple(replace(node, deploy="nfs") for node in nodes),
        requests=(asked,),
        images=("tiny",),
    )
    addresses = {host.name: host.address for host in hosts}
    fault, given, _ = FAULTS[befalls]

    async def play() -> None:
        async with MachineStage(story, 0, "lost-lease", Trace()) as stage:
            client = Client(stage, story)
            await client.prepare()
            assert await client.deploy(asked) == "active"
            address = (await client.look_at_instance("web"))["address"]

            async def writes(word: str) -> str:
                """To its server, whatever the machine's memory holds. Tells which boot it is in."""
                return await stage.login(address, f"echo {word} >> note && sync && {BOOT}")

            async def has_another_owner() -> bool:
                return stage.owner("n1") not in ("", served_by)

            async def is_back() -> bool:
                return bool((await stage.call("GET", f"/v1/hosts/{served_by}")).body["state"] == "serving")

            boot, served_by = await writes("before"), stage.owner("n1")
            order = Order(fault=fault, host=served_by, parameters=CATALOGUE[fault].completed(given))
            await stage.inject(order)
            await becomes_so(stage, has_another_owner)
            assert await writes("during") == boot
            await stage.heal(order)
            await becomes_so(stage, is_back)
            assert await writes("after") == boot
            assert await stage.login(address, "cat note") == "before\nduring\nafter\n"
            mounted = await stage.login(address, MOUNTED)
            assert mounted.startswith(f"{addresses[served_by]}:")

            async def runs_anew() -> bool:
                with suppress(SubprocessError):
                    return await stage.login(address, BOOT) != boot
                return False

            owner = stage.owner("n1")
            assert owner != served_by
            assert await client.power(Power(verb="cycle", node="n1")) == "done"
            await becomes_so(stage, runs_anew)
            mounted = await stage.login(address, MOUNTED)
            assert mounted.startswith(f"{addresses[owner]}:")
            assert await stage.login(address, "cat note") == "before\nduring\nafter\n"

    asyncio.run(play())


async def becomes_so(stage: MachineStage, look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINES_S["step"]):
        while not await look():
            await stage.news("n1")
