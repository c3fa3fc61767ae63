"""A disk that is to be kept, beside one that isn't: in its first 16 MiB boards have their U-Boot."""

from __future__ import annotations

import pytest

from provisioner.core.root_disk import may_be_written
from tests.wire.agent.conftest import MakeDisk, RealAgent

pytestmark = pytest.mark.wire

MIB = 2**20


def test_a_disk_that_is_to_be_kept_is_left_as_it_is(agent: RealAgent, make_disk: MakeDisk) -> None:
    kept, other = make_disk(64, garbage=True), make_disk(64, garbage=True)
    before = kept.content()
    there = [{"path": disk.device, "size_bytes": 64 * MIB} for disk in (kept, other)]
    devices = [disk["path"] for disk in may_be_written(there, [{"path": kept.device}])]
    for mode in ("quick", "full"):
        assert agent.peer.run("wipe", devices=devices, mode=mode)["devices"] == [other.device]
    assert not any(other.content())
    assert kept.content() == before
