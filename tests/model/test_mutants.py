"""Every promise bites: the provisioner is broken on purpose, and what guards the promise says so."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from provisioner.api import instance_orders
from provisioner.compute import endings, host, worker
from provisioner.compute.context import StepContext
from provisioner.compute.lease import LeaseKeeper
from provisioner.compute.ledger import NodeLedger
from provisioner.compute.operator_requests import OperatorRequests
from provisioner.compute.ownership import Hosts
from provisioner.compute.steps import boot
from provisioner.core.errors import Conflict, TransientError
from provisioner.core.model import Image, Instance, Node
from provisioner.core.outcome import Next, Outcome, Retry
from provisioner.core.plan import PLANS
from provisioner.core.states import Event, InstanceState
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.store import Tx
from provisioner.scheduler.memory import WaitingRequests
from scenarios.runner.model.provisioner_process import ProvisionerProcess
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.story import (
    Counted,
    Deploy,
    Expected,
    OnEvent,
    OnTold,
    Power,
    Request,
    Strike,
)
from tests.model.mutants import (
    DELETE,
    DEPLOY,
    Step,
    board_story,
    broken_promises,
    give_up_at_once,
    replace_steps,
    story,
)


def test_a_sound_provisioner_breaks_no_promise() -> None:
    assert broken_promises(story()) == set()


def test_cleaning_without_a_wipe_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = PLANS["clean"]
    steps = tuple(step for step in clean.steps if step.name != "wipe")
    monkeypatch.setitem(PLANS, "clean", replace(clean, steps=steps))
    assert "wiped_before_offered" in broken_promises(story())


def test_another_image_on_the_disk_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    write = worker.STEPS["write_image"]

    async def write_another(ctx: StepContext) -> Outcome:
        images = await ctx.edges.store.transact(lambda tx: tx.find(Image, where={"name": "debian"}))
        ctx.image = replace(images[0], kernel_id=ctx.deploy()[1].kernel_id)
        return await write(ctx)

    async def believe(ctx: StepContext) -> Outcome:
        return Next("it will be right")

    replace_steps(monkeypatch, {"write_image": write_another, "verify_image": believe})
    promises = broken_promises(story(DEPLOY, images=("tiny", "debian")))
    assert "bytes_equal_image" in promises


def test_active_without_proof_of_life_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(ctx: StepContext) -> Outcome:
        return Next("it will run")

    replace_steps(monkeypatch, {"instance_running": believe})
    assert "seen_running" in broken_promises(story())


def test_a_boards_root_that_outlives_its_instance_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_promises(board_story()) == set()

    async def leave(ctx: StepContext) -> Outcome:
        return Next("who would look there")

    replace_steps(monkeypatch, {"remove_root": leave})
    assert "wiped_before_offered" in broken_promises(board_story())


def test_a_root_that_outlives_an_instance_that_never_ran_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    made = OnEvent("step", "step.done", "n1", detail={"step": "make_root"})
    told = replace(board_story(), requests=(board_story().requests[0], replace(DELETE, when=made)))
    assert broken_promises(told) == set()

    async def leave(ctx: StepContext) -> Outcome:
        return Next("who would look there")

    replace_steps(monkeypatch, {"remove_root": leave})
    assert "wiped_before_offered" in broken_promises(told)


def test_a_node_that_is_offered_unwiped_is_caught_though_it_is_deployed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No device has seen anything of its first instance, and at the end it has its second."""
    made = OnEvent("step", "step.done", "n1", detail={"step": "make_root"})
    deploy = board_story().requests[0]
    assert isinstance(deploy, Deploy)
    again = replace(deploy, instance="next", when=OnTold("web", "deleted"))
    told = replace(board_story(), requests=(deploy, replace(DELETE, when=made), again))
    assert broken_promises(told) == set()
    remove, left = worker.STEPS["remove_root"], []

    async def leave_the_first(ctx: StepContext) -> Outcome:
        if left:
            return await remove(ctx)
        left.append(ctx.node.name)
        return Next("who would look there")

    replace_steps(monkeypatch, {"remove_root": leave_the_first})
    assert broken_promises(told) == {"wiped_before_offered"}


def test_a_board_that_is_active_before_it_is_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(ctx: StepContext) -> Outcome:
        return Next("it will come")

    skipped = ("board_answers", "set_board_network", "start_board_sshd", "filter_board_packets")
    steps: dict[str, Step] = dict.fromkeys((*skipped, "instance_running"), believe)
    replace_steps(monkeypatch, steps)
    assert "seen_running" in broken_promises(board_story())


def test_a_board_whose_last_instance_ran_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    told = board_story()
    (first, gone) = told.requests
    assert isinstance(first, Deploy)
    again = replace(first, instance="next", when=OnTold("web", "deleted"))
    twice = replace(told, requests=(first, gone, again))
    assert broken_promises(twice) == set()
    begun: list[str] = []

    def only_the_first(step: Step) -> Step:
        async def stepped(ctx: StepContext) -> Outcome:
            if ctx.deploy()[0].name == "next":
                return Next("it will come")
            begun.append(ctx.node.name)
            return await step(ctx)

        return stepped

    skipped = ("power_on", "board_answers", "set_board_network", "start_board_sshd", "filter_board_packets")
    steps = {name: only_the_first(worker.STEPS[name]) for name in (*skipped, "reboot", "instance_running")}
    replace_steps(monkeypatch, steps)
    assert "seen_running" in broken_promises(twice)
    assert begun


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_process_that_ends_by_a_defect_is_caught(hosts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = LeaseKeeper.keep
    told: list[str] = []

    async def stumble(self: LeaseKeeper) -> None:
        if not told:
            told.append(self.host)
            raise KeyError("n1")
        await keep(self)

    monkeypatch.setattr(LeaseKeeper, "keep", stumble)
    assert broken_promises(story(DEPLOY, hosts=hosts)) == {"no_defect"}


def test_a_defect_is_told_the_same_wherever_its_object_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    keep, lies, kept = LeaseKeeper.keep, iter((object(), object())), []

    async def stumble(self: LeaseKeeper) -> None:
        if len(kept) % 2 == 0:
            kept.append(self)
            raise KeyError(next(lies))
        await keep(self)

    monkeypatch.setattr(LeaseKeeper, "keep", stumble)
    results = []
    for _ in range(2):
        results.append(play_story(story(DEPLOY), Fidelity.MODEL, 1).result)
        kept.append(None)
    assert "KeyError: <object object at 0x…>" in results[0].breaches[0].what
    assert results[0].trace_sha256 == results[1].trace_sha256


def test_what_stays_published_after_a_cleaning_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave(ctx: StepContext) -> Outcome:
        return Next("nobody will boot it")

    replace_steps(monkeypatch, {"withdraw_boot": leave})
    assert "nothing_for_idle_nodes" in broken_promises(story())


@pytest.mark.parametrize("late_s", [15.0, 60.0])
def test_what_stays_published_for_a_while_after_a_cleaning_is_caught(
    late_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw, withdrawing = worker.STEPS["withdraw_boot"], list[asyncio.Task[None]]()

    async def later(ctx: StepContext) -> None:
        await ctx.edges.clock.sleep(late_s)
        await withdraw(ctx)

    async def begin(ctx: StepContext) -> Outcome:
        withdrawing.append(asyncio.create_task(later(ctx)))
        return Next("withdrawn")

    replace_steps(monkeypatch, {"withdraw_boot": begin})
    offered = OnEvent("node", "state", "n1", nth=2, detail={"state": "available"}, after_s=12.0)
    told = story(DEPLOY, DELETE, Power(node="n1", verb="off", when=offered))
    assert "nothing_for_idle_nodes" in broken_promises(told)


def test_what_stays_published_after_a_deploy_that_failed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = Strike(fault="node.hangs", node="n1", parameters={"at": "kernel"})
    told = replace(
        story(DEPLOY),
        strikes=(hangs,),
        expected=(Expected(instance="web", outcome="error"),),
        safety_s=9000.0,
    )
    assert broken_promises(told) == set()
    end = endings._end

    async def leave(ctx: StepContext) -> None:
        pass

    async def end_and_leave(ctx: StepContext, event: Event, changes: Mapping[str, Any], *more: Any) -> None:
        kept = {field: value for field, value in changes.items() if field != "publication"}
        await end(ctx, event, kept, *more)

    monkeypatch.setattr(endings, "_publish_nothing", leave)
    monkeypatch.setattr(endings, "_end", end_and_leave)
    assert broken_promises(told) == {"nothing_for_idle_nodes"}


def test_a_publication_for_two_nodes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = OfferPublisher.publish
    entries: dict[str, BootEntry] = {}

    async def publish_for_all(self: OfferPublisher, entry: BootEntry) -> None:
        entries[entry.node_name] = entry
        macs = tuple(mac for one in entries.values() for mac in one.macs)
        addresses = tuple(address for one in entries.values() for address in one.addresses)
        await publish(self, replace(entry, macs=macs, addresses=addresses))

    monkeypatch.setattr(OfferPublisher, "publish", publish_for_all)
    published = OnEvent("step", "step.started", "n1", detail={"step": "agent_ready"})
    both = (DEPLOY, Power(node="n2", verb="on", when=published))
    # The other one netboots, whatever it is told: nobody has told it anything.
    stray = Strike(fault="boot.ignores_flag", node="n2")
    assert "one_publisher" in broken_promises(replace(story(*both, nodes=2), strikes=(stray,)))


def test_two_hosts_on_one_node_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_everything(tx: Tx, hosts: Hosts, *, owners: Collection[str] = ()) -> int:
        others = [node.id for node in tx.find(Node) if node.owner != hosts.name]
        for id in others:
            tx.update(Node, id, {"owner": hosts.name})
        return len(others)

    monkeypatch.setattr(host, "share_out", take_everything)
    monkeypatch.setattr(NodeLedger, "_expected", lambda self: {})
    assert "one_owner" in broken_promises(story(DEPLOY, hosts=2))


# --- no request is lost ---------------------------------------------------------------------------


def test_a_deploy_that_the_scheduler_drops_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WaitingRequests, "_came", lambda self, request: None)
    assert broken_promises(story(DEPLOY)) == {"deadline"}


def test_a_power_request_that_nobody_serves_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OperatorRequests, "pending", lambda self, tx: [])
    assert broken_promises(story(Power(node="n1", verb="on"))) == {"deadline"}


def test_a_provisioner_that_never_comes_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = Strike(fault="host.kill", host="ch1", when=OnTold("web", "active"), heal_after_s=30.0)
    told = replace(
        story(DEPLOY, replace(DELETE, when=OnTold("web", "active", after_s=60.0))), strikes=(killed,)
    )
    assert broken_promises(told) == set()
    run, begun = ProvisionerProcess.run, []

    async def once(self: ProvisionerProcess) -> None:
        begun.append(self)
        await (run(self) if len(begun) == 1 else asyncio.Event().wait())

    monkeypatch.setattr(ProvisionerProcess, "run", once)
    assert broken_promises(told) == {"deadline"}


@pytest.mark.parametrize("asked", [(DEPLOY, DELETE), (DELETE, DEPLOY)], ids=["in order", "the last first"])
def test_a_deletion_that_no_host_begins_is_caught(
    asked: tuple[Request, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(self: host.ComputeHost, unwanted: list[Instance]) -> list[str]:
        return []

    monkeypatch.setattr(host.ComputeHost, "_release", forget)
    # Its moment comes when all has healed: while the deploy is given its time.
    assert broken_promises(replace(story(*asked), safety_s=1.0)) == {"deadline"}


def test_an_instance_that_nobody_wanted_deleted_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    reboot = worker.STEPS["reboot"]

    async def forget(ctx: StepContext) -> Outcome:
        (web,) = await ctx.edges.store.transact(lambda tx: tx.find(Instance, where={"name": "web"}))
        gone = {"state": InstanceState.DELETED}
        await ctx.edges.store.transact(lambda tx: tx.update(Instance, web.id, gone))
        return await reboot(ctx)

    replace_steps(monkeypatch, {"reboot": forget})
    assert "expectation" in broken_promises(story(DEPLOY))


@pytest.mark.parametrize("error", [Conflict, RuntimeError])
def test_a_deletion_that_is_refused_is_caught(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*asked: Any) -> Any:
        raise Conflict("delete it", answer="not today") if error is Conflict else error("a defect")

    monkeypatch.setattr(instance_orders, "delete", refuse)
    assert broken_promises(story()) == {"expectation"}


def test_a_defect_of_the_api_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = replace(story(DEPLOY), expected=(Expected(instance="web", outcome="refused"),))

    def break_down(*asked: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(instance_orders, "create", break_down)
    assert broken_promises(refused) == {"expectation"}


# --- what is expected -----------------------------------------------------------------------------


def test_a_deploy_that_is_given_up_at_the_first_trouble_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = Strike(fault="node.hangs", node="n1", parameters={"at": "kernel", "count": 1})
    troubled = replace(story(DEPLOY), strikes=(hangs,))
    assert broken_promises(troubled) == set()

    give_up_at_once(monkeypatch)
    assert broken_promises(troubled) == {"expectation"}


NO_NIC = replace(
    story(DEPLOY),
    strikes=(Strike(fault="node.dead_nic", node="n1"),),
    expected=(Expected(instance="web", outcome="error", cause="its NIC or cable is dead"),),
)


def test_a_failure_with_another_cause_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_promises(NO_NIC) == set()
    found = boot.diagnose
    monkeypatch.setattr(boot, "diagnose", lambda *heard: replace(found(*heard), likely_cause="It broke"))
    assert broken_promises(NO_NIC) == {"expectation"}


def test_a_step_that_is_done_more_often_than_expected_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    started = OnEvent("step", "step.started", "n1", detail={"step": "write_image"})
    once = replace(story(DEPLOY), expected=(Expected(counted=Counted(started, 1, 1)),))
    assert broken_promises(once) == set()

    write = worker.STEPS["write_image"]
    written: list[str] = []

    async def write_twice(ctx: StepContext) -> Outcome:
        outcome = await write(ctx)
        written.append(ctx.node.name)
        return outcome if len(written) > 1 else Retry(TransientError("write the image", answer="not sure"))

    replace_steps(monkeypatch, {"write_image": write_twice})
    assert broken_promises(once) == {"expectation"}
