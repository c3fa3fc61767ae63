"""From a written disk to an instance that was seen running."""

from __future__ import annotations

from provisioner.compute import console_mark
from provisioner.compute.context import StepContext
from provisioner.compute.publishing import whole_entry
from provisioner.compute.steps.boot import (
    CONSOLES,
    boot_events,
    missed_boot,
    patience,
    switch_off,
    switch_on,
)
from provisioner.compute.steps.identity import calls_us
from provisioner.core.console_pattern import find
from provisioner.core.diagnosis import boot_stopped, diagnose
from provisioner.core.errors import DeviceUnreachable, PermanentError, TransientError
from provisioner.core.ladders import DISK_INSTANCE_LADDERS, NETBOOT_INSTANCE_LADDERS, Ladder
from provisioner.core.model import ImageKind, Publication, PublicationKind, boots_with_ramdisk
from provisioner.core.outcome import Fail, Next, Outcome, Retry, Wait
from provisioner.core.plan import PLANS
from provisioner.protocols.power import BootDevice

PHONE_HOME = "phone_home"

BEGUN_BEFORE = "begun_before"
"""A fact of a work: its node may have been started before this start, by an owner that is gone. Where a PDU
is late to show what it does, that boot was never ended, and what the console says may be of it."""

ROOT_AT = "root_at"
"""A fact of a work: the compute host that serves the root which the node was started on, by its URL."""


async def publish_instance_boot(ctx: StepContext) -> Outcome:
    """The node finds its instance's kernel and ramdisk, or the order to boot its own disk, in the place
    of the deploy ramdisk."""
    _, image = ctx.deploy()
    if image.kind is ImageKind.DISK:
        publication = Publication(
            kind=PublicationKind.LOCAL_DISK, token_sealed=ctx.edges.seal(ctx.edges.ids.secret())
        )
        proof = "the node is told to boot its own disk"
    else:
        publication = _own_kernel(ctx)
        where = "by NFS" if publication.root else f"on UUID {ctx.facts['root_uuid']}"
        proof = f"the instance's kernel is published, its root {where}"
    await ctx.ledger.write({"publication": publication})
    await ctx.edges.publisher.publish(whole_entry(ctx.edges, ctx.node, ctx.ports))
    return Next(proof)


def _own_kernel(ctx: StepContext) -> Publication:
    _, image = ctx.deploy()
    if ctx.kernel is None or (ctx.ramdisk is None and boots_with_ramdisk(ctx.node.arch)):
        raise PermanentError("publish the instance's boot", answer="its kernel or ramdisk image is gone")
    folder = str(ctx.facts.get("root_folder", ""))
    # Where a root by NFS is served is known when it is published.
    root = () if folder else (f"root=UUID={ctx.facts['root_uuid']}", "ro")
    return Publication(
        kind=PublicationKind.INSTANCE,
        token_sealed=ctx.edges.seal(ctx.edges.ids.secret()),
        kernel=ctx.kernel.sha256,
        ramdisk=ctx.ramdisk.sha256 if ctx.ramdisk is not None else "",
        command_line=" ".join((*root, *CONSOLES[ctx.node.arch], image.command_line)).strip(),
        root=folder,
    )


async def reboot(ctx: StepContext) -> Outcome:
    """Power off and on. Nothing is lost: the agent flushed all disks before."""
    wanted = BootDevice.NETWORK if _netboots(ctx) else BootDevice.DISK
    if await switch_off(ctx):
        await ctx.ledger.write({})  # it took its time, and so may what follows
    proof = await ctx.edges.power.ensure_boot_device(ctx.device, wanted, uefi=ctx.node.firmware == "uefi")
    ctx.mailbox.forget()
    mark = console_mark.begin_boot(ctx)
    await switch_on(ctx)
    begun = {
        "starts": int(ctx.facts.get("starts", 0)) + 1,
        ROOT_AT: ctx.edges.node_url,
        BEGUN_BEFORE: ctx.resumed,
    }
    return Next(f"{proof}; power is on", {**mark, **begun})


async def instance_running(ctx: StepContext) -> Outcome:
    """The instance was seen: it phoned home with its token, its SSH server showed its banner, or its
    console printed what was awaited."""
    instance, image = ctx.deploy()
    await forget_starts_cut_short(ctx)
    wanted = instance.proof_of_life or image.proof_of_life or ctx.edges.policy.proof_of_life
    elsewhere = root_elsewhere(ctx)
    if elsewhere is None:
        for proof in wanted:
            seen = await _seen(ctx, proof)
            if seen:
                return Next(seen, {"seen": seen})
    if set(wanted) == {PHONE_HOME} and not calls_us(ctx):
        return _make_anew(ctx)
    if elsewhere is not None:
        return elsewhere
    return Wait(
        "proof of life: " + " or ".join(wanted),
        deadline_s=patience(ctx, ctx.edges.policy.running_deadline_s),
        otherwise=lambda: _not_seen(ctx, wanted),
        poll_s=1.0,
        begins_at="reboot" if _netboots(ctx) else None,
    )


def _ladder(ctx: StepContext) -> Ladder:
    ladders = NETBOOT_INSTANCE_LADDERS if _netboots(ctx) else DISK_INSTANCE_LADDERS
    return ladders[ctx.node.boot_driver]


def _netboots(ctx: StepContext) -> bool:
    return ctx.node.publication.kind is PublicationKind.INSTANCE


async def _seen(ctx: StepContext, proof: str) -> str:
    instance, _ = ctx.deploy()
    kind, _, pattern = proof.partition(":")
    if kind == PHONE_HOME:
        calls = (event for event in ctx.mailbox.heard if event.name == "instance.phone_home")
        if any(call.detail.get("token_sha256") == instance.phone_home_sha256 for call in calls):
            return "the instance phoned home with its token"
    elif kind == "ssh_banner":
        banner = await ctx.edges.probe.banner(ctx.boot_port.address)
        if banner:
            return f"SSH at {ctx.boot_port.address} answered {banner}"
    elif kind == "console":
        printed = find(pattern, console_mark.said(ctx))
        if printed is not None:
            return f"the console printed {printed!r}"
    return ""


def _not_seen(ctx: StepContext, wanted: tuple[str, ...]) -> Retry | Fail:
    if PHONE_HOME in wanted and (ctx.resumed or not calls_us(ctx)):
        return _make_anew(ctx)
    within = f"within {ctx.edges.policy.running_deadline_s:.0f} s"
    return start_again(ctx, "see the instance running", f"none of {', '.join(wanted)} {within}")


def _make_anew(ctx: StepContext) -> Retry:
    """Of an instance that has called, or would call, where its owner isn't. Its configuration alone doesn't
    do: cloud-init phones home once in an instance's life, and gives up after some ninety seconds.
    Source: https://docs.cloud-init.io/en/latest/reference/modules.html#phone-home"""
    ctx.ledger.note_facts({"starts": 0})  # they say nothing of the instance
    error = TransientError(
        "hear the instance phone home",
        device=f"node {ctx.node.name}",
        answer="it calls once, and the compute host that it was told to call didn't own its node then",
    )
    return Retry(error, from_step=PLANS[ctx.work.plan].first, counts=False)


def root_elsewhere(ctx: StepContext) -> Retry | None:
    """Of a node that was started on a root which another compute host serves, or served: it is started again,
    on one from here. It may still answer, and wait for ever for what it hasn't read yet."""
    served_at = ctx.facts.get(ROOT_AT, ctx.edges.node_url)
    if not ctx.node.publication.root or served_at == ctx.edges.node_url:
        return None
    ctx.ledger.note_facts({"starts": 0})  # it says nothing of the instance
    error = TransientError(
        "go on with a boot",
        device=f"node {ctx.node.name}",
        answer=f"its root was served by the compute host at {served_at}, which doesn't own it any more",
    )
    return Retry(error, from_step="reboot", counts=False)


async def forget_starts_cut_short(ctx: StepContext) -> None:
    """Those that our own deaths cut short say nothing of the instance."""
    if ctx.resumed and ctx.facts.get("starts"):
        await ctx.ledger.remember({"starts": 0})


def start_again(ctx: StepContext, tried: str, answer: str) -> Retry | Fail:
    """What happens when nothing is seen of a node that was started for its instance: it is started anew, or
    that fails with the likely cause."""
    if ctx.resumed:
        return missed_boot(ctx, tried, from_step="reboot")
    found = diagnose(_ladder(ctx), boot_events(ctx))
    cause = found.likely_cause
    if stopped := boot_stopped(console_mark.said(ctx)):
        line, cause = stopped
        answer += f"; its console says: {line}"
    starts = int(ctx.facts.get("starts", 1))
    error = DeviceUnreachable(
        tried,
        device=f"node {ctx.node.name}",
        answer=f"{answer} (start {starts} of {ctx.edges.policy.boot_attempts}); "
        f"last proven: {found.last_proven}",
        advice=cause,
    )
    error.code = "instance-never-seen"
    if starts < ctx.edges.policy.boot_attempts:
        return Retry(error, from_step="reboot")
    return Fail(error)
