"""An image on its way to a disk: what fails is tried again as often as the plan allows, and what is read back
decides whether the deploy goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provisioner.core.errors import WriteFailed
from provisioner.core.model import Failure, Image, ImageKind
from provisioner.core.plan import PLANS
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.drivers.fake import FakeWriter
from provisioner.drivers.fake_agent import BootedAgent
from provisioner.protocols.image import DiskTarget
from tests.unit.compute.fake_world import FakeWorld, play


def failed_deploy(folder: Path, tree_digest: str = "") -> tuple[Failure, int]:
    """How a deploy fails whose image was registered with this digest, and how often it was tried again."""

    async def run() -> tuple[Failure, int]:
        world = FakeWorld(folder)
        await world.fill()
        if tree_digest:
            await world.store.transact(lambda tx: tx.update(Image, "image-1", {"tree_digest": tree_digest}))
        world.start()
        try:
            await world.ask()

            async def failed() -> bool:
                return (await world.instance()).state is InstanceState.ERROR

            await world.until("the deploy fails", failed)
            failure = (await world.instance()).failure
            assert failure is not None
            return failure, sum(event.name == "step.retry" for event in await world.events())
        finally:
            await world.die()

    return asyncio.run(run())


def test_a_disk_that_differs_from_its_image_is_written_again_and_never_becomes_active(tmp_path: Path) -> None:
    failure, retries = failed_deploy(tmp_path, "sha512-tree:" + "00" * 32)
    assert failure.code == "image-differs-on-disk"
    assert "the image's is 0000000000000000…" in failure.message
    assert retries == PLANS["deploy-iscsi"].max_retries


def test_digests_of_two_algorithms_are_told_apart_from_a_bad_disk(tmp_path: Path) -> None:
    failure, retries = failed_deploy(tmp_path, "sha256-tree:" + "00" * 32)
    assert failure.code == "digests-not-comparable"
    assert "digest is sha512-tree, that of image tiny sha256-tree" in failure.message
    assert "register the image anew" in failure.message
    assert retries == 0


def test_each_retry_of_a_disk_that_can_t_be_written_is_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = list[str]()

    async def refuses(writer: FakeWriter, source: Path, *, target: DiskTarget, **rest: object) -> None:
        targets.append(target.iqn)
        raise WriteFailed("write the image", device="disk of node n1", answer="input/output error")

    monkeypatch.setattr(FakeWriter, "write", refuses)
    failure, retries = failed_deploy(tmp_path)
    assert "input/output error" in failure.message
    assert retries == PLANS["deploy-iscsi"].max_retries
    assert len(set(targets)) == retries + 1, "each to an export of its own"


def test_a_disk_image_whose_root_can_t_be_told_is_deployed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another system than Linux, say, or encrypted as a whole."""
    run = BootedAgent.run

    def rootless(agent: BootedAgent, name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        assert name != "grow_root", "there is nothing that it could grow"
        result = run(agent, name, params)
        nothing = dict.fromkeys(("root_device", "root_fstype", "root_uuid", "root_partuuid"))
        return {**result, **nothing} if name == "partition_disk" else result

    monkeypatch.setattr(BootedAgent, "run", rootless)

    async def story(world: FakeWorld) -> None:
        await world.store.transact(lambda tx: tx.update(Image, "image-1", {"kind": ImageKind.DISK}))
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        told = {event.step: event.text for event in await world.events() if event.name == "step.done"}
        assert told["grow_root"] == "nothing is grown: the image's root isn't known"

    play(tmp_path, story)
