"""Taking a machine back: nothing of the instance runs, its disks are wiped, nothing is published."""

from __future__ import annotations

from provisioner.compute.agent_session import run_command
from provisioner.compute.context import StepContext
from provisioner.compute.steps.boot import publish_nothing, switch_off
from provisioner.core.deletion import DELETED
from provisioner.core.model import Instance, Node, PublicationKind
from provisioner.core.outcome import Next, Outcome
from provisioner.core.plan import wipe_to_owe
from provisioner.core.root_disk import writable_disks
from provisioner.protocols.store import Tx


async def withdraw_instance(ctx: StepContext) -> Outcome:
    """The node can't netboot its instance again. A ramdisk that an earlier attempt at this cleaning
    published is left for the steps that follow."""
    if ctx.node.publication.kind in (PublicationKind.INSTANCE, PublicationKind.LOCAL_DISK):
        await publish_nothing(ctx)
    return Next("nothing of the instance is published")


async def power_off(ctx: StepContext) -> Outcome:
    """Off, confirmed. From here on the instance is deleted: nothing of it runs or can start again."""
    await switch_off(ctx)
    released = ctx.instance
    if released is not None:

        def delete(tx: Tx) -> None:
            tx.update(Instance, released.id, {**DELETED, "failure": None, "address": ""})
            tx.notify("instances", f"instance:{released.id}")

        event = ctx.ledger.event("instance.deleted", f"instance {released.name} is gone", instance=released)
        # Owed by the node itself: nobody else knows once the instance is deleted, and this work may fail.
        owed = wipe_to_owe(ctx.node.wipe_owed, released.wipe)
        await ctx.ledger.write({"instance_id": None, "wipe_owed": owed}, event, also=delete)
        ctx.edges.evidence.on_instance(ctx.node.id, None)
    return Next(f"{ctx.device.name} confirmed that the power is off")


async def wipe(ctx: StepContext) -> Outcome:
    """All disks but those to be kept, as the instance's owner asked: quick (partition tables and signatures
    at both ends) or full. The agent reads back what it wiped."""
    mode, devices = ctx.node.wipe_owed, _devices(ctx.node)
    if not devices:
        return Next("nothing is wiped: each of its disks is to be kept")
    result = await run_command(
        ctx,
        "wipe",
        {"devices": devices, "mode": mode},
        timeout_s=ctx.edges.policy.wipe_deadline_s,
        progress=ctx.progress,
    )
    wiped = result["devices"]
    return Next(f"{mode} wipe of {len(wiped)} disk{'s' if len(wiped) != 1 else ''}, read back")


def _devices(node: Node) -> str | list[str]:
    """As the agent takes them. Raises PermanentError when a disk that is to be kept isn't there."""
    if not node.keep_disks:
        return "all"
    return [disk["path"] for disk in writable_disks(node)]


async def power_off_clean(ctx: StepContext) -> Outcome:
    """Off, confirmed: a clean node waits without power."""
    await switch_off(ctx)
    return Next(f"{ctx.device.name} confirmed that the power is off")


async def withdraw_boot(ctx: StepContext) -> Outcome:
    """The node has its address reservation and nothing to boot."""
    await publish_nothing(ctx)
    return Next("nothing is published for the node")
