"""Whether the folder of roots by NFS is apart from what nodes must not reach."""

from __future__ import annotations

import os
from pathlib import Path

from provisioner.config.settings import Settings
from provisioner.core.errors import InvalidInput


def nfs_folder_fault(settings: Settings) -> InvalidInput | None:
    """What is wrong with `nfs.folder`, None when nothing is or no NFS is served.

    Both servers look whether a handle is of a file system that is exported, not whether its file lies in the
    folder that is: exports(5), no_subtree_check; nfs-ganesha, FSAL_VFS. Root on a node, who may make up
    handles, has all files of that file system.
    """
    if settings.nfs.server == "none":
        return None
    roots = _file_system(settings.roots)
    for name, path in (("the system's files, /", Path("/")), ("state_dir", settings.state_dir)):
        if _file_system(path) == roots:
            return InvalidInput(
                "keep roots by NFS apart",
                field="nfs.folder",
                answer=f"{settings.roots} lies on one file system with {name}: root on a node that has "
                "its root there could read and change all of it",
                advice="Mount a file system of its own there, or set nfs.folder to a folder on one; to try "
                "it with nodes that nobody else is root on, set nfs.nodes_trusted",
            )
    return None


def exported_name_fault(folder: Path) -> InvalidInput | None:
    """What is wrong with the folder that the kernel's NFS server exports under its own name, None when
    nothing is. A node's kernel is told it in its command line: nfsroot=SERVER:PATH,OPTIONS.
    """
    path = str(folder)
    if len(path.split()) == 1 and not set(path) & set(',"'):
        return None
    return InvalidInput(
        "tell nodes their roots by NFS",
        field="nfs.folder",
        answer=f"it is {path!r}, and a node's command line has no room for a blank, a comma or a quotation"
        " mark in the name of its root",
        advice="Set nfs.folder to a folder without them, or nfs.server to ganesha, whose names are its own",
    )


def _file_system(path: Path) -> str:
    """The number of the one that this lies on, or would. st_dev is not it: of btrfs that is a subvolume's."""
    while not path.exists():
        path = path.parent
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    finally:
        os.close(descriptor)
    (mount,) = (line.split()[1] for line in told.splitlines() if line.startswith("mnt_id:"))
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        if words[0] == mount:
            return words[2]
    device = path.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"
