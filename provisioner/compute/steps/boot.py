"""Booting the deploy ramdisk and hearing from its agent. Shared by deploys and cleanings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.agent import VERSION
from provisioner.compute.agent_session import client, run_command
from provisioner.compute.context import StepContext
from provisioner.compute.publishing import boot_entry
from provisioner.core.diagnosis import diagnose
from provisioner.core.errors import DeviceUnreachable, PermanentError, StateError, TransientError
from provisioner.core.extra_specs import DEBIAN_NAMES
from provisioner.core.ladders import RAMDISK_LADDERS
from provisioner.core.model import Publication, PublicationKind, TimelineEvent
from provisioner.core.outcome import Fail, Next, Outcome, Retry, Wait
from provisioner.core.states import PowerState
from provisioner.protocols.agent import AgentStatus
from provisioner.protocols.power import BootDevice

CONSOLES = {
    "x86_64": ("console=tty0", "console=ttyS0,115200n8"),
    # What the machine says of itself, which words here would overrule: its device tree (/chosen/stdout-path),
    # or ACPI's SPCR. Serial ports have a name for each maker: ttyAMA0, ttyS2, ttymxc0, ttySTM0, …
    "arm64": (),
    "armhf": (),
    "tilepro64": (),  # its command line is its own
}


KERNEL_WORDS = "quiet panic=10 mitigations=off cryptomgr.notests"
"""quiet: else the kernel prints its command line on the console, which is recorded, token and all.
panic: a kernel that dies restarts after 10 s, for nobody stands beside it. The others spare a tenth of the
boot: nothing but the agent runs there, and Debian has tested its ciphers."""


async def publish_boot(ctx: StepContext) -> Outcome:
    """The node finds the deploy ramdisk, with a token of its own. The row first: what is published
    must be known to whoever takes over."""
    node = ctx.node
    if node.publication.kind is not PublicationKind.AGENT:
        mac = ctx.boot_port.id.replace(":", "-")
        publication = Publication(
            kind=PublicationKind.AGENT,
            token_sealed=ctx.edges.seal(ctx.edges.ids.secret()),
            command_line=" ".join((*CONSOLES[node.arch], KERNEL_WORDS, f"BOOTIF=01-{mac}")),
        )
        await ctx.ledger.write({"publication": publication})
    await ctx.edges.publisher.publish(boot_entry(ctx.edges, ctx.node, ctx.ports))
    return Next(f"the deploy ramdisk is published for {ctx.boot_port.id} at {ctx.boot_port.address}")


async def publish_nothing(ctx: StepContext) -> None:
    # The row may follow: as long as it says otherwise, the step isn't done.
    ctx.ledger.note({"publication": Publication(kind=PublicationKind.NOTHING)})
    await ctx.edges.publisher.publish(boot_entry(ctx.edges, ctx.node, ctx.ports))


async def set_boot_device(ctx: StepContext) -> Outcome:
    """The firmware boots from the network next. Persistent, since an IPMI once-flag runs out after
    60 s (IPMI 2.0 §28.12), and a node that loses power must come back to the ramdisk."""
    uefi = ctx.node.firmware == "uefi"
    proof = await ctx.edges.power.ensure_boot_device(ctx.device, BootDevice.NETWORK, uefi=uefi)
    return Next(proof)


async def power_on(ctx: StepContext) -> Outcome:
    """Off, confirmed, then on, confirmed: whatever ran before is gone, and what is heard from now
    on is of this boot."""
    if await switch_off(ctx):
        await ctx.ledger.write({})  # it took its time, and so may what follows
    ctx.mailbox.forget()
    await switch_on(ctx)
    boots = int(ctx.facts.get("boots", 0)) + 1
    return Next(f"{ctx.device.name} confirmed that the power is on", {"boots": boots})


async def switch_off(ctx: StepContext) -> bool:
    """Off, confirmed, and noted for whatever is written next; False when it was off. Raises as
    PowerSequencer.ensure."""
    # Off once and written down, it had discharged.
    long_off = ctx.node.power_state is PowerState.OFF and not ctx.resumed
    switched = await ctx.edges.power.ensure(ctx.device, PowerState.OFF, long_off=long_off)
    ctx.ledger.note({"power_state": PowerState.OFF}, ctx.ledger.event("power.off", source="power"))
    return switched


async def switch_on(ctx: StepContext) -> None:
    """On, confirmed, and noted for the end of the step. Raises as PowerSequencer.ensure."""
    await ctx.edges.power.ensure(ctx.device, PowerState.ON)
    ctx.ledger.note({"power_state": PowerState.ON}, ctx.ledger.event("power.on", source="power"))


async def agent_ready(ctx: StepContext) -> Outcome:
    """The agent of the booted ramdisk answers with our token; its inventory is kept."""
    if ctx.resumed and ctx.facts.get("boots"):
        # Boots that our own deaths cut short say nothing of the node.
        await ctx.ledger.remember({"boots": 0})
    status = await _answering_agent(ctx)
    if status is None:
        return Wait(
            "the agent in the deploy ramdisk",
            deadline_s=patience(ctx, ctx.edges.policy.boot_deadline_s),
            otherwise=lambda: _no_agent(ctx),
            poll_s=ctx.edges.policy.agent_poll_s,
            begins_at="set_boot_device",
        )
    if status.version != VERSION:
        return _other_version(ctx, status.version)
    # A boot that succeeded: what comes later is counted anew.
    facts = {"agent_boot_id": status.boot_id, "boots": 0}
    ctx.ledger.note_facts(facts)
    inventory = await run_command(ctx, "inventory", {}, timeout_s=ctx.edges.policy.command_deadline_s)
    ctx.ledger.note({"inventory": inventory})
    return Next(f"the agent reported: {_summary(inventory)}", facts)


def patience(ctx: StepContext, deadline_s: float) -> float:
    """How long to wait for a node that boots.

    Nobody answered its DHCP and HTTP requests while no process ran for it, and firmware that found nothing to
    boot may sit there for ever. So a boot that was begun before gets less time, and is then begun again.
    """
    return min(deadline_s, ctx.edges.policy.resumed_deadline_s) if ctx.resumed else deadline_s


async def _answering_agent(ctx: StepContext) -> AgentStatus | None:
    try:
        return await client(ctx).status()
    except StateError:
        raise
    except TransientError:
        return None


def _other_version(ctx: StepContext, version: str) -> Retry | Fail:
    arch = DEBIAN_NAMES.get(ctx.node.arch, ctx.node.arch)
    error = PermanentError(
        "command the deploy ramdisk's agent",
        device=f"node {ctx.node.name}",
        answer=f"it is of version {version}, and this provisioner of {VERSION}",
        advice=f"Build the ramdisk anew on this host: provisioner ramdisk build --arch {arch}",
    )
    error.code = "agent-of-another-version"
    # If a compute host of another version booted it: ours has another ramdisk.
    return Retry(error, from_step="set_boot_device", counts=False) if ctx.resumed else Fail(error)


def _no_agent(ctx: StepContext) -> Retry | Fail:
    """What happens when the deadline passes, decided by what was heard since the power was switched."""
    if ctx.resumed:
        return missed_boot(ctx, "boot the deploy ramdisk", from_step="set_boot_device")
    found = diagnose(RAMDISK_LADDERS[ctx.node.boot_driver], boot_events(ctx))
    boots = int(ctx.facts.get("boots", 1))
    error = DeviceUnreachable(
        "boot the deploy ramdisk",
        device=f"node {ctx.node.name}",
        answer=f"the agent did not report within {ctx.edges.policy.boot_deadline_s:.0f} s "
        f"(boot {boots} of {ctx.edges.policy.boot_attempts}); last proven: {found.last_proven}",
        advice=found.likely_cause,
    )
    error.code = "agent-never-reported"
    if boots < ctx.edges.policy.boot_attempts:
        return Retry(error, from_step="set_boot_device")
    return Fail(error)


def missed_boot(ctx: StepContext, tried: str, *, from_step: str) -> Retry:
    error = TransientError(
        tried,
        device=f"node {ctx.node.name}",
        answer="nothing was heard of a boot that began while no provisioner answered",
    )
    return Retry(error, from_step=from_step, counts=False)


def boot_events(ctx: StepContext) -> list[TimelineEvent]:
    """What was heard since the power was switched, as the diagnosis wants it."""
    heard = [
        ctx.ledger.event(event.name, event.text, source=event.source, detail=event.detail)
        for event in ctx.mailbox.heard
    ]
    if ctx.node.power_state is PowerState.ON:
        heard.insert(0, ctx.ledger.event("power.on", source="power"))
    return heard


def _summary(inventory: Mapping[str, Any]) -> str:
    disks = ", ".join(f"{disk['path']} {disk['size_bytes'] // 2**20} MiB" for disk in inventory["disks"])
    nics = len(inventory["nics"])
    return (
        f"{inventory['cpus']} CPUs, {inventory['memory_mib']} MiB of memory, "
        f"{disks or 'no disk'}, {nics} NIC{'s' if nics != 1 else ''}"
    )
