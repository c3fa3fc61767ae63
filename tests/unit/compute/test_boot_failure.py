"""A node that is on and never boots: what fails names what its own way to boot would have shown next."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.states import ProvisionState
from tests.unit.compute.fake_world import FakeWorld, play


@pytest.mark.parametrize(
    ("boot_driver", "firmware", "cause"),
    [
        ("ipxe", "bios", "its switch port blocks, it boots from another device"),
        ("uboot", "uboot", "boot_targets"),
    ],
)
def test_a_failure_names_the_likely_cause_in_the_words_of_the_firmware(
    boot_driver: str, firmware: str, cause: str, tmp_path: Path
) -> None:
    async def story(world: FakeWorld) -> None:
        world.rack.hangs = True
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert failure.code == "agent-never-reported"
        assert "last proven: the power device confirmed that the node is on" in failure.message
        assert cause in failure.likely_cause

    play(tmp_path, story, boot_driver=boot_driver, firmware=firmware)
