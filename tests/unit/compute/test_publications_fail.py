"""What becomes of nodes and their work where a publication, or its end, comes to nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from provisioner.compute.worker import Worker
from provisioner.core.errors import PermanentError, StorageFull, TransientError
from provisioner.core.model import PublicationKind, Work
from provisioner.core.states import ProvisionState
from provisioner.protocols.boot import BootEntry
from tests.unit import records
from tests.unit.compute.fake_world import PATIENT, FakeWorld, play
from tests.unit.compute.one_server import OneServer


@pytest.mark.parametrize(
    "cause",
    [
        TransientError("write hosts of dnsmasq", answer="no space left"),
        OSError(errno.ESTALE, "Stale file handle"),
        ValueError("a defect"),
    ],
    ids=["transient", "storage", "defect"],
)
def test_one_node_that_cannot_be_published_holds_up_no_other_nor_its_own_work_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    publish, works = OneServer.publish, list[bool]()

    async def story(world: FakeWorld) -> None:
        async def fails(server: OneServer, entry: BootEntry) -> None:
            if entry.node_id == "node-2":
                raise cause
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", fails)
        run = Worker.run

        async def noted(worker: Worker) -> None:
            works.append(worker.ctx.node.id == "node-2")
            await run(worker)

        monkeypatch.setattr(Worker, "run", noted)
        work = Work(id="w", plan="enrol", step="verify_power", entered_at=records.NOW)
        await world.enrol(2, state=ProvisionState.ENROLLING, work=work)
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.ACTIVE)

        async def begun() -> bool:
            return any(works)

        await world.until("its work has begun all the same", begun)

    play(tmp_path, story)


def test_a_failed_node_s_publication_that_could_not_be_ended_is_ended_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, refused = OneServer.publish, list[str]()

    async def story(world: FakeWorld) -> None:
        async def fails_once(server: OneServer, entry: BootEntry) -> None:
            node = await world.node()
            if node.state is ProvisionState.DEPLOY_FAILED and not refused:
                refused.append(entry.kind)
                raise PermanentError("exportfs -u", answer="exit code 1")
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", fails_once)
        world.broken.add("n1")
        await world.ask(node_name="n1")
        await world.becomes(ProvisionState.DEPLOY_FAILED)

        async def ended() -> bool:
            entry = world.rack.machine("n1").entry
            return bool(refused) and entry is not None and entry.kind is PublicationKind.NOTHING

        await world.until("nothing is published", ended)

    play(tmp_path, story)


def test_a_node_whose_work_was_interrupted_is_published_anew_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a store that went away when the node, withdrawn already, was to be passed on."""
    run, seen = Worker.run, list[bool]()

    async def story(world: FakeWorld) -> None:
        async def interrupted(worker: Worker) -> None:
            seen.append(world.rack.machine("n1").entry is not None)
            if len(seen) == 1:
                await worker.ctx.edges.publisher.withdraw("node-1")
                raise TransientError("use the database", answer="it is away")
            await run(worker)

        monkeypatch.setattr(Worker, "run", interrupted)
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        assert seen == [True, True]

    play(tmp_path, story)


@pytest.mark.parametrize("passes", [True, False], ids=["once", "for good"])
def test_a_boot_is_not_gone_on_with_before_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: bool
) -> None:
    """As of a node that comes to a host whose disk is full: it would boot, find nothing, be waited for."""
    publish, refused = OneServer.publish, list[str]()

    async def story(world: FakeWorld) -> None:
        async def full(server: OneServer, entry: BootEntry) -> None:
            if restarted and entry.kind is not PublicationKind.NOTHING and (not passes or len(refused) < 4):
                refused.append(entry.kind)
                raise StorageFull("write what nodes are offered", answer="0 bytes are free")
            await publish(server, entry)

        monkeypatch.setattr(OneServer, "publish", full)
        restarted = False
        await world.ask()
        await world.comes_to("agent_ready")
        await world.die()
        world.lose_boot()
        world.rack.delay_s, world.boot_deadline_s = 0.0, 10.0
        world.rack.machine("n1").entry = None  # its services died with it
        restarted = True
        world.start()
        if passes:
            await world.becomes(ProvisionState.ACTIVE)
            assert len(refused) == 4
        else:
            await world.becomes(ProvisionState.DEPLOY_FAILED)
            failure = (await world.node()).failure
            assert failure is not None and failure.code == "storage-full"

    play(tmp_path, story, **PATIENT)
