"""From a node's row to what its boots are given. Done anew by whoever comes to own the node."""

from __future__ import annotations

from pathlib import Path

from provisioner.compute.edges import Edges
from provisioner.core.command_line import check_whole
from provisioner.core.model import Node, Port, PublicationKind
from provisioner.protocols.boot import BootEntry

NFS_OPTIONS = "vers=4.2,proto=tcp,hard"


def whole_entry(edges: Edges, node: Node, ports: tuple[Port, ...]) -> BootEntry:
    """That of a start which is to come. Whoever publishes anew what a node runs on leaves it its root, though
    its kernel may have dropped words.

    Errors: as `boot_entry`; InvalidInput when the kernel would take a part of its command line alone.
    """
    entry = boot_entry(edges, node, ports)
    check_whole(node.name, node.arch, entry.command_line)
    return entry


def boot_entry(edges: Edges, node: Node, ports: tuple[Port, ...]) -> BootEntry:
    """The complete entry of `node`, as its row's publication says.

    Errors: PermanentError when the deploy ramdisk or the root by NFS that it needs isn't there any more.
    """
    published = node.publication
    token = edges.unseal(published.token_sealed) if published.token_sealed else ""
    files: dict[str, Path] = {}
    command_line = published.command_line
    booting = tuple(port for port in ports if port.boot)
    if published.kind is PublicationKind.AGENT:
        ramdisk = edges.ramdisk(node.arch)
        files = {"kernel": ramdisk.kernel, "ramdisk": ramdisk.ramdisk}
        # The token is added here, so that it stands sealed in the row.
        command_line = " ".join(
            (
                command_line,
                f"provisioner.node={node.id}",
                f"provisioner.token={token}",
                f"provisioner.fence={node.fence}",
                f"provisioner.announce={edges.node_url}/agent/v1/hello",
            )
        ).strip()
    elif published.kind is PublicationKind.INSTANCE:
        files = {"kernel": edges.blob(published.kernel)}
        if published.ramdisk:
            files["ramdisk"] = edges.blob(published.ramdisk)
    nfs_root, nfs_source = None, ""
    if published.root:
        # The server is whoever publishes: a survivor serves the root from its own address.
        nfs_root = edges.roots.path(published.root)
        nfs_source = f"{edges.initiator_address}:{edges.roots.nfs_path(published.root)}"
        command_line = f"root=/dev/nfs nfsroot={nfs_source},{NFS_OPTIONS} ip=dhcp rw {command_line}"
    return BootEntry(
        node_id=node.id,
        node_name=node.name,
        arch=node.arch,
        firmware=node.firmware,
        boot_driver=node.boot_driver,
        macs=tuple(port.id for port in booting),
        addresses=tuple(port.address for port in booting),
        kind=published.kind,
        token=token,
        files=files,
        command_line=command_line,
        nfs_root=nfs_root,
        nfs_source=nfs_source,
    )
