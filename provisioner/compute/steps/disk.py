"""Around the image: partitions, the root file system's size, ephemeral storage, swap, the config drive."""

from __future__ import annotations

import base64

from provisioner.compute.agent_session import run_command
from provisioner.compute.context import StepContext
from provisioner.compute.steps.identity import config_files
from provisioner.compute.steps.image import ROOT_OFFSET_BYTES
from provisioner.core.model import ImageKind
from provisioner.core.outcome import Next, Outcome
from provisioner.core.placement.sizes import CONFIG_DRIVE_MIB

LAYOUT = ("root_device", "root_uuid", "root_fstype", "ephemeral_device", "swap_device", "config_device")


async def partition_disk(ctx: StepContext) -> Outcome:
    """The partition table around the image. After the image was verified: a half-written disk never
    looks bootable."""
    instance, image = ctx.deploy()
    whole = image.kind is ImageKind.DISK
    result = await run_command(
        ctx,
        "partition_disk",
        {
            "device": ctx.facts["device"],
            "layout": "whole_disk" if whole else "root_filesystem",
            "root_offset_bytes": ROOT_OFFSET_BYTES,
            "root_size_bytes": image.virtual_size_bytes,
            "ephemeral_mib": instance.flavor.ephemeral_mib,
            "swap_mib": instance.flavor.swap_mib,
            "config_drive_mib": CONFIG_DRIVE_MIB,
        },
        timeout_s=ctx.edges.policy.command_deadline_s,
    )
    layout = {key: result[key] for key in LAYOUT}
    if layout["root_device"] is None:
        return Next("the image's own partitions; which of them is its root can't be told", layout)
    return Next(f"root {layout['root_device']} ({layout['root_fstype']}, {layout['root_uuid']})", layout)


async def grow_root(ctx: StepContext) -> Outcome:
    """The root file system fills its partition, where it is known which that is."""
    device = ctx.facts["root_device"]
    if device is None:
        return Next("nothing is grown: the image's root isn't known")
    result = await run_command(
        ctx, "grow_root", {"device": device}, timeout_s=ctx.edges.policy.command_deadline_s
    )
    return Next(f"{device}: {result.get('note', 'grown to its partition')}")


async def make_ephemeral(ctx: StepContext) -> Outcome:
    """An empty file system, if the flavor asks for one."""
    device = ctx.facts.get("ephemeral_device")
    if not device:
        return Next("the flavor asks for no ephemeral storage")
    result = await run_command(
        ctx, "make_ephemeral", {"device": device}, timeout_s=ctx.edges.policy.command_deadline_s
    )
    return Next(f"ext4 labelled {result['label']} on {device}")


async def make_swap(ctx: StepContext) -> Outcome:
    """A swap area, if the flavor asks for one."""
    device = ctx.facts["swap_device"]
    if not device:
        return Next("the flavor asks for no swap")
    await run_command(ctx, "make_swap", {"device": device}, timeout_s=ctx.edges.policy.command_deadline_s)
    return Next(f"swap on {device}")


async def write_config_drive(ctx: StepContext) -> Outcome:
    """Hostname, keys and user data, and where the instance phones home; then every buffer is flushed:
    from here on the power may be cut."""
    instance, _ = ctx.deploy()
    drive = await config_files(ctx, instance)
    device = ctx.facts["config_device"]
    policy = ctx.edges.policy
    await run_command(
        ctx,
        "write_config_drive",
        {
            "device": device,
            "files": {name: base64.b64encode(text.encode()).decode() for name, text in drive.items()},
        },
        timeout_s=policy.command_deadline_s,
    )
    await run_command(ctx, "flush", {}, timeout_s=policy.command_deadline_s)
    return Next(f"{', '.join(sorted(drive))} on {device}; all disks flushed")
