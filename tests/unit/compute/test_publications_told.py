"""What a host says of the nodes that it took over: that it serves them, once it does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from provisioner.compute.publications import Publications
from provisioner.core.errors import PermanentError, TransientError
from provisioner.core.model import Publication, PublicationKind
from provisioner.core.states import ProvisionState
from provisioner.drivers.fake import FakePublisher
from provisioner.protocols.boot import BootEntry
from tests.unit.compute.fake_world import FakeWorld
from tests.unit.fakes import JumpingClock

BY_NFS = "node-2.1.a"


def told(entry: Mapping[str, Any]) -> str:
    return "host.serves {nodes}, {waiting} wait, {refused} refused".format(**entry)


def test_a_takeover_is_told_as_done_when_all_that_its_machines_boot_is_there(tmp_path: Path) -> None:
    """Of two that run: the kernel and ramdisk of one, and the root of the other."""

    async def story() -> None:
        world = FakeWorld(tmp_path)
        kernel = Publication(kind=PublicationKind.INSTANCE, kernel="k", ramdisk="r")
        runs = {"state": ProvisionState.ACTIVE}
        await world.fill(publication=kernel, **runs)
        await world.enrol(2, publication=replace(kernel, root=BY_NFS), **runs)
        world.rack.roots.folders[BY_NFS] = {}
        fails: list[Exception] = [
            TransientError("export a root", answer="exportfs was not done after 30 s"),
            PermanentError("export a root", answer="no folder of that name"),
        ]

        with capture_logs() as order:

            class Publisher(FakePublisher):
                async def publish(self, entry: BootEntry) -> None:
                    if entry.node_id == "node-2" and fails:
                        raise fails.pop(0)
                    root = entry.nfs_root.name if entry.nfs_root is not None else ""
                    what = " ".join((*sorted(entry.files), root)).strip()
                    order.append({"event": f"published {entry.node_id}: {what}"})

            clock = JumpingClock()
            edges = replace(await world.edges_with_lease(), publisher=Publisher(world.rack), clock=clock)
            published = Publications(edges)

            async def follow(*, thoroughly: bool = False) -> list[str]:
                order.clear()
                await published.follow(["node-1", "node-2"], first=(), busy=set(), thoroughly=thoroughly)
                return [told(one) if one["event"] == "host.serves" else one["event"] for one in order]

            assert await follow() == [
                "published node-1: kernel ramdisk",
                "node.not_published_yet",
                "host.serves 1, 1 wait, 0 refused",
            ]
            assert unserved(world) == 1
            await clock.sleep(published.quiet_s)
            assert await follow() == ["node.not_published", "host.serves 1, 0 wait, 1 refused"]
            assert unserved(world) == 1
            assert await follow(thoroughly=True) == [
                f"published node-2: kernel ramdisk {BY_NFS}",
                "host.serves 2, 0 wait, 0 refused",
            ]
            assert unserved(world) == 0

    asyncio.run(story())


def unserved(world: FakeWorld) -> float | None:
    return world.metrics.registry.get_sample_value("provisioner_nodes_served_otherwise")
