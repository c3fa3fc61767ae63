"""The image's way to the disk: exported with a new secret, written, read back."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from provisioner.compute.agent_session import AgentLost, run_command, wait_for_same_boot
from provisioner.compute.context import StepContext
from provisioner.core.errors import PermanentError, TransientError
from provisioner.core.image_digest import CHUNK_BYTES, algorithm_of, shown
from provisioner.core.model import Image, ImageKind
from provisioner.core.outcome import Next, Outcome, Retry
from provisioner.core.placement.sizes import behind_root_mib
from provisioner.core.root_disk import choose_root_disk, writable_disks
from provisioner.protocols.image import DiskTarget

ROOT_OFFSET_BYTES = 2**20
"""Where a root file system goes: partitions begin at 1 MiB, as every partitioner of today does it."""


def offset_bytes(image: Image) -> int:
    return ROOT_OFFSET_BYTES if image.kind is ImageKind.ROOT else 0


def new_target(ctx: StepContext, attempt: int) -> tuple[str, str]:
    """A name and a CHAP secret that no attempt before had, of whatever owner. libiscsi logs in again by
    itself wherever it is let in: what is left of an older attempt must know neither."""
    return f"iqn.2026-11.provisioner:{ctx.node.id}.{ctx.node.fence}.{attempt}", ctx.edges.ids.secret()


async def export_disk(ctx: StepContext) -> Outcome:
    """The root disk is an iSCSI target with a name and a CHAP secret of this attempt alone; the agent
    withdraws every older one, so that a stale writer is shut out by the disk itself."""
    instance, image = ctx.deploy()
    disks = writable_disks(ctx.node)
    needed_bytes = image.virtual_size_bytes + behind_root_mib(instance.flavor) * 2**20
    disk = choose_root_disk(disks, ctx.node.root_device_hint, needed_bytes)
    attempt = int(ctx.facts.get("attempt", 0)) + 1
    facts = {"device": disk["path"], "attempt": attempt}
    await ctx.ledger.remember(facts)
    user, (iqn, password) = "provisioner", new_target(ctx, attempt)
    result = await run_command(
        ctx,
        "export_disk",
        {
            "device": disk["path"],
            "iqn": iqn,
            "chap_user": user,
            "chap_password": password,
            "initiator_address": ctx.edges.initiator_address,
            "portal_port": 3260,
        },
        timeout_s=ctx.edges.policy.command_deadline_s,
    )
    ctx.target = DiskTarget(
        address=ctx.boot_port.address,
        port=int(result["portal_port"]),
        iqn=str(result["iqn"]),
        lun=int(result["lun"]),
        chap_user=user,
        chap_password=password,
    )
    return Next(f"{disk['path']} is exported for attempt {attempt}", facts)


async def write_image(ctx: StepContext) -> Outcome:
    """The image's content goes straight from the store to the disk. Ends early when the agent is gone:
    an iSCSI initiator would try to reconnect for ever."""
    _, image = ctx.deploy()
    if ctx.target is None:
        return Retry(
            TransientError("write the image", answer="the export isn't ours"), from_step="export_disk"
        )
    try:
        await _write_while_watched(ctx, image, ctx.target)
    except AgentLost:
        raise
    except TransientError as error:
        # Each attempt has an export of its own: to try this step again would be a retry that can't do it.
        return Retry(error, from_step="export_disk")
    finally:
        ctx.target = None
    return Next(f"{image.virtual_size_bytes // 2**20} MiB of image {image.name} written")


async def _write_while_watched(ctx: StepContext, image: Image, target: DiskTarget) -> None:
    deadline_s = ctx.edges.policy.write_deadline_s
    async with ctx.edges.write_turns:
        writing = asyncio.ensure_future(
            ctx.edges.writer.write(
                ctx.edges.blob(image.sha256),
                format=image.format,
                target=target,
                offset_bytes=offset_bytes(image),
                size_bytes=image.virtual_size_bytes,
                progress=ctx.progress,
            )
        )
        watching = asyncio.ensure_future(_watch_agent(ctx))
        try:
            done, _ = await asyncio.wait(
                (writing, watching), timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            writing.cancel()
            watching.cancel()
            await asyncio.gather(writing, watching, return_exceptions=True)
    if not done:
        raise TransientError(
            "write the image",
            device=f"disk of node {ctx.node.name}",
            answer=f"not done after {deadline_s:.0f} s",
        )


async def _watch_agent(ctx: StepContext) -> NoReturn:
    gone = TransientError("write the image", answer="the agent stopped answering")
    while True:
        await ctx.edges.clock.sleep(ctx.edges.policy.agent_poll_s)
        await wait_for_same_boot(ctx, gone)


async def verify_image(ctx: StepContext) -> Outcome:
    """What lies on the disk is the image, as read back from the medium."""
    _, image = ctx.deploy()
    policy = ctx.edges.policy
    device = ctx.facts["device"]
    await run_command(ctx, "withdraw_disk", {}, timeout_s=policy.command_deadline_s)
    result = await run_command(
        ctx,
        "checksum_disk",
        {
            "device": device,
            "offset_bytes": offset_bytes(image),
            "size_bytes": image.virtual_size_bytes,
            "chunk_bytes": CHUNK_BYTES,
        },
        timeout_s=policy.write_deadline_s,
        progress=ctx.progress,
    )
    found = str(result["tree_digest"])
    if found == image.tree_digest:
        return Next(f"digest {shown(found)} read back from {device}")
    if algorithm_of(found) != algorithm_of(image.tree_digest):
        incomparable = PermanentError(
            "compare the disk with its image",
            device=f"{device} of node {ctx.node.name}",
            answer=f"the agent's digest is {algorithm_of(found) or 'of no named algorithm'}, "
            f"that of image {image.name} {algorithm_of(image.tree_digest) or 'of no named algorithm'}",
            advice="They are of different versions: build the ramdisk anew, then register the image anew",
        )
        incomparable.code = "digests-not-comparable"
        raise incomparable
    error = TransientError(
        "read the image back",
        device=f"{device} of node {ctx.node.name}",
        answer=f"its digest is {shown(found)}, the image's is {shown(image.tree_digest)}",
        advice="If this comes again, the disk or its cable is bad",
    )
    error.code = "image-differs-on-disk"
    return Retry(error, from_step="export_disk")
