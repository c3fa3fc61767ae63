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

NETWORK = "00-root-by-nfs"

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
    else:
        files |= network_files(ctx.boot_port.id)
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


def network_files(mac: str) -> Mapping[str, str]:
    """Has systemd, where that sets up the network, take over what the ramdisk set up, and never drop it: the
    root hangs on it. Of files that match a NIC the first by name counts, before cloud-init's and netplan's
    (`10-…`). Systems that know of no such files aren't told anything.

    udev isn't to rename the NIC, which is up: it can't, and systemd-networkd waits for the new name until it
    gives up. By another identifier than the ramdisk's, its MAC address, it would be another DHCP client.
    Source: systemd.link(5), systemd.network(5), KeepConfiguration"""
    match = f"[Match]\nMACAddress={mac}\n"
    ipv4_alone = "DHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    network = f"[Network]\n{ipv4_alone}KeepConfiguration=yes\n\n[DHCPv4]\nClientIdentifier=mac\n"
    return {
        f"etc/systemd/network/{NETWORK}.link": f"{match}\n[Link]\nNamePolicy=keep\n",
        f"etc/systemd/network/{NETWORK}.network": f"{match}\n{network}",
    }


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
