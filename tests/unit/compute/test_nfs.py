"""A root by NFS: another list of steps, the same promises."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import StorageFull
from provisioner.core.model import Image, PublicationKind, TimelineEvent
from provisioner.core.plan import PLANS
from provisioner.core.states import PowerState, ProvisionState
from provisioner.drivers.fake import FakePublisher
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.roots import folder_name
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld, play

DEPLOY = [spec.name for spec in PLANS["deploy-nfs"].steps]
CLEAN = [spec.name for spec in PLANS["clean-nfs"].steps]


def test_the_kernel_is_told_where_its_root_is_served(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        entry = world.rack.machine(node.name).entry
        assert entry is not None
        folder = node.publication.root
        assert entry.nfs_root == world.rack.roots.path(folder)
        assert f"root=/dev/nfs nfsroot=10.77.0.10:/{folder}," in entry.command_line
        assert "ip=dhcp" in entry.command_line.split()
        assert '"local-hostname"' in "".join(world.rack.roots.folders[folder].values())

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_hostname_key_and_user_data_lie_where_cloud_init_looks_first(tmp_path: Path) -> None:
    key, user_data = "ssh-ed25519 AAAAC3Nza ann@desk", "#!/bin/sh\necho mine > /etc/motd\n"

    async def story(world: FakeWorld) -> None:
        await world.ask(name="web-7", public_key=key, user_data=user_data)
        await world.becomes(ProvisionState.ACTIVE)
        (files,) = world.rack.roots.folders.values()
        seed = "var/lib/cloud/seed/nocloud"
        network = {f"etc/systemd/network/00-root-by-nfs.{kind}" for kind in ("link", "network")}
        seeds = {f"{seed}/{name}" for name in ("meta-data", "user-data", "vendor-data")}
        assert set(files) == seeds | network
        entry = world.rack.machine("n1").entry
        assert entry is not None
        for file in network:
            assert files[file].startswith(f"[Match]\nMACAddress={entry.macs[0]}\n\n[")
        assert files[f"{seed}/user-data"] == user_data
        told = json.loads(files[f"{seed}/meta-data"])
        assert (told["local-hostname"], told["public-keys"]) == ("web-7", [key])

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_a_root_that_there_is_no_room_to_make_fails_the_deploy_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of a first attempt, whose process died when the root was made and before that was noted."""

    async def story(world: FakeWorld) -> None:
        roots, make = world.rack.roots, world.rack.roots.make

        async def and_hang(name: str, image: Path, **how: Any) -> None:
            await make(name, image, **how)
            await asyncio.Event().wait()

        async def without_room(name: str, image: Path, **how: Any) -> None:
            raise StorageFull(
                "copy the root file system",
                device="folder /srv/roots",
                answer="no space left on device",
                advice="Delete instances whose root is there, or make room",
            )

        async def made() -> bool:
            return bool(roots.folders)

        monkeypatch.setattr(roots, "make", and_hang)
        await world.ask()
        await world.until("a root is made", made)
        await world.die()
        monkeypatch.setattr(roots, "make", without_room)
        world.start()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert (failure.code, failure.step) == ("storage-full", "make_root")
        assert "copy the root file system on folder /srv/roots: no space left on device" in failure.message
        assert failure.likely_cause == "Delete instances whose root is there, or make room"
        node = await world.node()
        assert roots.folders == {}
        assert (node.publication.kind, node.publication.root) == (PublicationKind.NOTHING, "")
        assert world.rack.machine(node.name).power is PowerState.OFF

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_a_deploy_whose_command_line_would_be_cut_off_fails_with_its_length_and_the_limit(
    tmp_path: Path,
) -> None:
    """Of an image that was registered before there was one."""

    async def story(world: FakeWorld) -> None:
        await world.store.transact(lambda tx: tx.update(Image, "image-1", {"command_line": "a" * 2000}))
        await world.ask()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None and failure.code == "invalid-input"
        assert "tell node n1 its kernel's command line: it has 21" in failure.message
        assert "2025 get through to a kernel of x86_64" in failure.message

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


@pytest.mark.parametrize("step", DEPLOY)
def test_a_deploy_goes_on_to_active_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        assert list(world.rack.roots.folders) == [node.publication.root], "none of an earlier attempt is left"

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


@pytest.mark.parametrize("at", ["http://10.77.0.11:8080", "http://10.77.0.10:8080"])
def test_who_was_started_on_a_root_of_another_host_is_started_again(at: str, tmp_path: Path) -> None:
    """Though its instance is seen: nobody may be there any more who serves the rest of it."""
    here = at == FakeWorld.node_url

    async def story(world: FakeWorld) -> None:
        await world.ask(proof_of_life=("console:login",))
        await world.comes_to("instance_running")
        await world.die()
        world.console = "login"
        world.node_url = at
        world.start()
        if not here:
            await world.comes_to("instance_running", times=3)
            world.console += "\nlogin"
        await world.becomes(ProvisionState.ACTIVE)
        told = [event.text for event in await world.events() if event.name == "step.retry"]
        assert len(told) == (0 if here else 1)
        assert all("was served by the compute host at http://10.77.0.10:8080" in text for text in told)

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


@pytest.mark.parametrize("step", CLEAN)
def test_a_deletion_goes_on_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        assert world.rack.roots.folders == {}
        assert (await world.node()).publication.kind is PublicationKind.NOTHING

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_an_owner_from_before_removes_nothing_of_a_newer_one(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        await world.rack.roots.remove(node.id, fence=node.fence - 1)
        assert list(world.rack.roots.folders) == [node.publication.root]

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_a_root_that_an_owner_from_before_finishes_late_is_removed_by_whoever_ends_the_cleaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = FakePublisher.publish

    async def story(world: FakeWorld) -> None:
        async def publish_slowly(publisher: FakePublisher, entry: BootEntry) -> None:
            if not world.rack.roots.folders:
                await asyncio.Event().wait()
            await publish(publisher, entry)

        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        with monkeypatch.context() as patch:
            patch.setattr(FakePublisher, "publish", publish_slowly)
            await world.delete()
            await world.comes_to("withdraw_boot")
            await world.die()
        node = await world.node()
        world.rack.roots.folders[folder_name(node.id, node.fence, "late")] = {"name": "a tenant's"}
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        assert world.rack.roots.folders == {}

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_what_no_instance_has_is_swept_away_and_what_one_has_is_not(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        folders = world.rack.roots.folders
        await world.enrol(2, deploy_driver="nfs", fence=3, state=ProvisionState.AVAILABLE)
        await world.ask(node_id="node-1")
        await world.becomes(ProvisionState.ACTIVE)
        used = (await world.node()).publication.root
        newest = (await world.node(2)).fence
        stays = {
            used,
            folder_name("node-1", 0, "beside-a-used-one"),
            folder_name("node-2", newest, "a-deploy-may-be-at-it"),
            folder_name("node-9", 1, "of-another-provisioner"),
            "lost+found",
        }
        late = {folder_name("node-2", fence, "late") for fence in range(1, newest)}
        late |= {folder_name("node-3", fence, "of-one-that-was-deleted") for fence in (1, 7)}
        deleted = TimelineEvent(
            node_id="node-3", instance_id=None, at=records.NOW, source="controller", name="node.deleted"
        )
        await world.store.transact(lambda tx: tx.insert(deleted))
        folders |= {name: {"name": "a tenant's"} for name in stays | late}

        async def swept() -> bool:
            return not late & set(folders)

        await world.until("the late ones are gone", swept)
        assert set(folders) == stays

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_a_root_that_there_is_no_room_to_remove_keeps_no_other_from_being_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        roots, remove = world.rack.roots, world.rack.roots.remove

        async def without_room(node_id: str, *, fence: int) -> None:
            if node_id == "node-2":
                raise StorageFull("remove a root directory", answer="no space left on device")
            await remove(node_id, fence=fence)

        monkeypatch.setattr(roots, "remove", without_room)
        await world.enrol(2, deploy_driver="nfs", fence=3, state=ProvisionState.AVAILABLE)
        await world.enrol(3, deploy_driver="nfs", fence=3, state=ProvisionState.AVAILABLE)
        first, second = (folder_name(f"node-{number}", 1, "late") for number in (2, 3))
        roots.folders |= {first: {}, second: {}}

        async def swept() -> bool:
            return second not in roots.folders

        await world.until("the other is gone", swept)
        assert first in roots.folders

    play(tmp_path, story, deploy_driver="nfs", disk_mib=0)


def test_an_unpacked_image_is_forgotten_when_no_image_is_it_any_longer(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        images = world.rack.roots.images
        deleted, kept = "d" * 64, "e" * 64
        await world.store.transact(lambda tx: tx.insert(records.image(id="kept", name="kept", sha256=kept)))
        images |= {deleted, kept}

        async def swept() -> bool:
            return deleted not in images

        await world.until("it is gone", swept)
        assert images == {kept}

    play(tmp_path, story)
