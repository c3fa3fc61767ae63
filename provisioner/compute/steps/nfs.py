"""A root file system on this side of the wire: a folder per node, which its kernel mounts by NFS."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.compute.context import StepContext
from provisioner.compute.steps.boot import publish_nothing, switch_off
from provisioner.compute.steps.identity import config_files
from provisioner.core.model import Instance, PublicationKind
from provisioner.core.outcome import Next, Outcome
from provisioner.protocols.roots import folder_name

SEED = "var/lib/cloud/seed/nocloud"
"""Where cloud-init looks without a config drive, and before it asks the network.
Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html"""

ROOT_MARK = "etc/provisioner-root"
"""A file in the root of a board, by which it tells what it runs on: the folder's name."""

ROOT_MARKED = "root_marked"
"""A fact of a work: the folder that has its mark, which earlier versions didn't give it."""


async def make_root(ctx: StepContext) -> Outcome:
    """The node's own copy of the image's files, with its hostname, keys and user data. Always a new one: an
    owner from before may still be at work on its own. Nothing runs on what was served before."""
    edges, node = ctx.edges, ctx.node
    instance, image = ctx.deploy()
    if node.publication.kind is PublicationKind.INSTANCE:
        await switch_off(ctx)
        await publish_nothing(ctx)
        await ctx.ledger.write({})
    await edges.roots.remove(node.id, fence=node.fence)
    name = folder_name(node.id, node.fence, edges.ids.uuid())
    seed = await config_files(ctx, instance)
    files = {f"{SEED}/{file}": text for file, text in seed.items()}
    if node.boot_driver == "tilera":
        files |= {**board_files(instance, ctx.boot_port.address), ROOT_MARK: f"{name}\n"}
    async with edges.write_turns:
        await edges.roots.make(
            name,
            edges.blob(image.sha256),
            format=image.format,
            digest=image.tree_digest,
            files=files,
        )
    facts = {"root_folder": name, ROOT_MARKED: name if ROOT_MARK in files else ""}
    return Next(f"image {image.name}, its bytes proven, is unpacked to {name}", facts)


def board_files(instance: Instance, address: str) -> Mapping[str, str]:
    """What cloud-init would do, where there is none: the systems of such boards are older than it."""
    files = {
        "etc/hostname": f"{instance.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{address} {instance.name}\n",
        # Its kernel has set it up from DHCP, and the root hangs on it.
        "etc/network/interfaces": "auto lo\niface lo inet loopback\n\niface xgbe0 inet manual\n",
    }
    if instance.public_key:
        files["root/.ssh/authorized_keys"] = f"{instance.public_key.strip()}\n"
    return files


async def remove_root(ctx: StepContext) -> Outcome:
    """Nothing of the instance is left on this side. Its export ended when it was withdrawn."""
    await ctx.edges.roots.remove(ctx.node.id, fence=ctx.node.fence)
    return Next("the root directory is gone")
