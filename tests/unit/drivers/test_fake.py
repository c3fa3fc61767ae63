"""The rack in memory plays a deploy through as healthy hardware would."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.errors import DeviceUnreachable, LeaseLost, PermanentError, TransientError
from provisioner.core.image_digest import TreeDigest
from provisioner.core.model import PublicationKind
from provisioner.core.states import PowerState
from provisioner.drivers.fake import FakeRack
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.events import WireEvent
from provisioner.protocols.image import DiskTarget
from provisioner.protocols.power import BootDevice, BootDeviceControl, PowerVerb
from tests.unit.fakes import CountingIds

NODE = "id-1"
ENTRY = BootEntry(
    node_id=NODE,
    node_name="n1",
    arch="x86_64",
    firmware="bios",
    macs=("m",),
    addresses=("10.0.0.1",),
    kind=PublicationKind.AGENT,
    token="t1",
    files={},
)
TARGET = DiskTarget(
    address="10.0.0.1", port=3260, iqn="iqn.x:1", lun=1, chap_user="u", chap_password="p" * 16
)


class World:
    def __init__(self) -> None:
        self.events: list[WireEvent] = []
        self.rack = FakeRack(self.events.append, CountingIds())
        self.power = self.rack.power("n1", {}, {})

    async def boot(self, entry: BootEntry = ENTRY) -> None:
        await self.rack.publisher().publish(entry)
        await self.power.set_power(PowerVerb.OFF)
        await self.power.set_power(PowerVerb.ON)
        await asyncio.sleep(0.001)

    async def run(self, name: str, fence: int = 1, **params: object) -> dict[str, object]:
        return dict(await self.rack.agent(NODE, "t1", fence).run(name, params, timeout_s=1))

    async def export(self, iqn: str = TARGET.iqn, fence: int = 1) -> None:
        chap = {"chap_user": TARGET.chap_user, "chap_password": TARGET.chap_password}
        await self.run("export_disk", fence, device="/dev/fake0", iqn=iqn, **chap)

    async def write(self, image: Path, format: str = "raw") -> None:
        await self.rack.writer().write(
            image,
            format=format,
            target=TARGET,
            offset_bytes=2**20,
            size_bytes=image.stat().st_size,
            progress=lambda done: None,
        )

    def heard(self) -> list[str]:
        return [event.name for event in self.events]


def play(story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(World())

    asyncio.run(run())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(b"root file system" * 100_000)
    return path


def test_a_deploy_ends_with_the_instance_phoning_home_with_its_token(image: Path) -> None:
    async def story(world: World) -> None:
        await world.boot()
        assert world.heard() == ["agent.hello"]
        status = await world.rack.agent(NODE, "t1", 1).status()
        assert status.boot_id == world.events[0].detail["boot_id"]
        await world.export()
        await world.write(image)
        digest = TreeDigest()
        digest.update(image.read_bytes())
        asked = {"offset_bytes": 2**20, "size_bytes": image.stat().st_size}
        assert (await world.run("checksum_disk", **asked))["tree_digest"] == digest.hexdigest()
        drive = base64.b64encode(b"url: http://10.0.0.9/phone-home/c0ffee").decode()
        await world.run("write_config_drive", device="/dev/fake0p3", files={"vendor-data": drive})
        await world.boot(replace(ENTRY, kind=PublicationKind.INSTANCE, token="t2"))
        assert world.heard() == ["agent.hello", "instance.phone_home"]
        assert world.events[1].detail == {"token_sha256": hashlib.sha256(b"c0ffee").hexdigest()}
        with pytest.raises(DeviceUnreachable):
            await world.rack.agent(NODE, "t1", 1).status()

    play(story)


def test_a_machine_with_a_wiped_disk_starts_no_instance(image: Path) -> None:
    async def story(world: World) -> None:
        await world.boot()
        await world.export()
        await world.write(image)
        assert (await world.run("wipe", devices="all", mode="quick"))["devices"]
        await world.boot(replace(ENTRY, kind=PublicationKind.LOCAL_DISK))
        assert world.heard() == ["agent.hello"]

    play(story)


def test_a_newer_fence_shuts_the_older_owner_and_its_writer_out(image: Path) -> None:
    async def story(world: World) -> None:
        await world.boot()
        await world.export(fence=1)
        await world.run("inventory", fence=2)
        with pytest.raises(LeaseLost):
            await world.run("inventory", fence=1)
        with pytest.raises(TransientError, match="shut out"):
            await world.write(image)

    play(story)


def test_a_new_export_shuts_the_writer_of_the_old_one_out(image: Path) -> None:
    async def story(world: World) -> None:
        await world.boot()
        await world.export()
        await world.export(iqn="iqn.x:2")
        with pytest.raises(TransientError, match="shut out"):
            await world.write(image)

    play(story)


def test_an_agent_lives_as_long_as_its_machine_has_power_and_answers_its_own_token() -> None:
    async def story(world: World) -> None:
        with pytest.raises(DeviceUnreachable):
            await world.rack.agent(NODE, "t1", 1).status()
        await world.boot()
        with pytest.raises(DeviceUnreachable):
            await world.rack.agent(NODE, "other", 1).status()
        first = (await world.rack.agent(NODE, "t1", 1).status()).boot_id
        await world.power.set_power(PowerVerb.CYCLE)
        await asyncio.sleep(0.001)
        assert (await world.rack.agent(NODE, "t1", 1).status()).boot_id != first
        await world.power.set_power(PowerVerb.OFF)
        with pytest.raises(DeviceUnreachable):
            await world.rack.agent(NODE, "t1", 1).status()

    play(story)


def test_a_machine_that_nothing_is_published_for_stays_silent() -> None:
    async def story(world: World) -> None:
        await world.boot(replace(ENTRY, kind=PublicationKind.NOTHING))
        await world.rack.publisher().withdraw(NODE)
        await world.power.set_power(PowerVerb.CYCLE)
        await asyncio.sleep(0.001)
        assert world.events == []
        assert await world.power.power_state() is PowerState.ON

    play(story)


def test_a_boot_device_set_once_counts_once() -> None:
    async def story(world: World) -> None:
        assert isinstance(world.power, BootDeviceControl)
        await world.power.set_boot_device(BootDevice.DISK, persistent=False, uefi=False)
        await world.boot()
        assert world.events == []
        await world.boot()
        assert world.heard() == ["agent.hello"]

    play(story)


def test_what_it_cannot_do_it_says(image: Path) -> None:
    async def story(world: World) -> None:
        await world.boot()
        await world.export()
        with pytest.raises(PermanentError, match="raw images, not qcow2"):
            await world.write(image, "qcow2")
        with pytest.raises(PermanentError, match="run juggle"):
            await world.run("juggle")

    play(story)
