"""A folder of roots that a symbolic link leads to, as where /var/lib/provisioner is one."""

from __future__ import annotations

from pathlib import Path

from provisioner.app.boundary import nfs_of
from provisioner.config.settings import Settings
from provisioner.protocols.netboot import RootService
from provisioner.protocols.roots import folder_name
from provisioner.services.children import SystemChildren
from provisioner.services.root_folders import MountedRootFolders
from provisioner.services.system import SystemClock


def linked_roots(server: str, folder: Path) -> tuple[RootService, Path]:
    """That NFS server as a compute host makes it, not yet started, and an empty root that it may serve."""
    (folder / "disk").mkdir()
    (folder / "linked").symlink_to("disk")
    network = {
        "interface": "prov0",
        "address": "10.77.0.10",
        "subnet": "10.77.0.0/24",
        "pool": "10.77.0.100-10.77.0.199",
    }
    nfs = {"server": server, "folder": folder / "linked"}
    settings = Settings.model_validate({"state_dir": folder, "network": network, "nfs": nfs})
    service, folders = nfs_of(settings, SystemChildren(), SystemClock())
    assert service is not None
    assert isinstance(folders, MountedRootFolders)
    root = folders.nodes / folder_name("node-1", 1, "a")
    root.mkdir(parents=True)
    return service, root
