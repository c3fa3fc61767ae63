"""A root file system on this side of the wire: a folder per node, which its kernel mounts by NFS."""

from __future__ import annotations

from provisioner.compute.context import StepContext
from provisioner.compute.steps.identity import config_files
from provisioner.core.outcome import Next, Outcome
from provisioner.protocols.roots import folder_name

SEED = "var/lib/cloud/seed/nocloud"
"""Where cloud-init looks without a config drive, and before it asks the network.
Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html"""


async def make_root(ctx: StepContext) -> Outcome:
    """The node's own copy of the image's files, with its hostname, keys and user data. Always a new one: an
    owner from before may still be at work on its own."""
    edges, node = ctx.edges, ctx.node
    instance, image = ctx.deploy()
    await edges.roots.remove(node.id, fence=node.fence)
    name = folder_name(node.id, node.fence, edges.ids.uuid())
    files = await config_files(ctx, instance)
    async with edges.write_turns:
        await edges.roots.make(
            name,
            edges.blob(image.sha256),
            format=image.format,
            digest=image.tree_digest,
            files={f"{SEED}/{file}": text for file, text in files.items()},
        )
    return Next(f"image {image.name}, its bytes proven, is unpacked to {name}", {"root_folder": name})


async def remove_root(ctx: StepContext) -> Outcome:
    """Nothing of the instance is left on this side. Its export ended when it was withdrawn."""
    await ctx.edges.roots.remove(ctx.node.id, fence=ctx.node.fence)
    return Next("the root directory is gone")
