"""A tree of files that a tenant has filled: nothing in it may lead out of it, hold us up, or be run."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from errno import EISDIR, ELOOP, ENOTDIR
from pathlib import Path, PurePosixPath

from provisioner.core.errors import ImageInvalid
from provisioner.services.full_disk import storage_full_told

FOLDER_MODE = 0o755
MAX_FSTAB_BYTES = 2**20
_DISK = re.compile(r"\s*(?:UUID|LABEL|PARTUUID|PARTLABEL)=|\s*/dev/")


def write_all(root: Path, files: Mapping[str, str]) -> None:
    """files: path in the root → text; mode 0644 below etc, else 0600. Raises ImageInvalid, StorageFull."""
    for name, text in files.items():
        path = PurePosixPath(name)
        _write_below(root, path, text, mode=0o644 if path.parts[0] == "etc" else 0o600)


def forget_disks(root: Path) -> None:
    """What the image mounts from its own disk isn't there: systemd would wait for it, and remount / as it.
    Raises ImageInvalid, StorageFull."""
    with _folder_below(root, ("etc",)) as etc:
        text = _fstab(etc)
    lines = text.split("\n")
    kept = [line for line in lines if not _DISK.match(line) and line.split()[1:2] != ["/"]]
    if kept != lines:
        _write_below(root, PurePosixPath("etc/fstab"), "\n".join(kept), mode=0o644)


def _fstab(etc: int) -> str:
    """Empty where there is none."""
    try:
        # Looked at first: to open a device may be to use it, a watchdog's for one. Its owner is nobody who
        # could change it meanwhile, and O_NONBLOCK waits for nobody's other end of a pipe.
        _check_fstab(os.stat("fstab", dir_fd=etc, follow_symlinks=False))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open("fstab", flags, dir_fd=etc)
    except FileNotFoundError:
        return ""
    with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        _check_fstab(os.fstat(descriptor))
        return file.read(MAX_FSTAB_BYTES)


def _check_fstab(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        answer = "it is no regular file"
    elif found.st_size > MAX_FSTAB_BYTES:
        answer = f"it has {found.st_size} bytes, and {MAX_FSTAB_BYTES} are the most"
    else:
        return
    raise ImageInvalid(
        "take the image's own disk out of its /etc/fstab",
        answer=answer,
        advice="Register the image with a file there, or with none",
    )


def _write_below(root: Path, path: PurePosixPath, text: str, mode: int) -> None:
    room = storage_full_told("write into the root directory", root, "Make room on its file system")
    with room, _folder_below(root, path.parts[:-1]) as folder:
        try:
            os.unlink(path.name, dir_fd=folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != EISDIR:
                raise
            raise ImageInvalid(f"write /{path} of the root directory", answer="it is a directory") from error
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, mode, dir_fd=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(descriptor, mode)  # whatever our own umask is
            file.write(text)


def remove_tree(folder: Path) -> None:
    """Removes it with all that is in it, however deep: what lies deeper is moved up, so that our stack, our
    descriptors and paths don't grow with it. Raises OSError when something stays."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while _lift(top):
            pass
    finally:
        os.close(top)
    folder.rmdir()


def _lift(top: int) -> bool:
    """Removes the files, and puts folders' own folders into their place. False when nothing is there."""
    found = False
    with os.scandir(top) as entries:
        for entry in entries:
            found = True
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=top)
                continue
            folder = os.open(
                entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top
            )
            try:
                _empty(folder, top)
            finally:
                os.close(folder)
            os.rmdir(entry.name, dir_fd=top)
    return found


def _empty(folder: int, top: int) -> None:
    with os.scandir(folder) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in names:
        if is_folder:
            os.rename(name, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
        else:
            os.unlink(name, dir_fd=folder)


def _made(folder: str, below: int) -> bool:
    """False: it, or something else of that name, is there."""
    try:
        os.mkdir(folder, FOLDER_MODE, dir_fd=below)
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def _folder_below(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of a folder, made if need be, in a tree whose owner is not ours: a link in it must not
    lead us out of it. Raises ImageInvalid for one that would. What is no folder isn't opened: O_DIRECTORY
    refuses a pipe or a device before it would be."""
    below = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            made = _made(part, below)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=below)
            os.close(below)
            below = inner
            if made:
                os.fchmod(below, FOLDER_MODE)  # whatever our own umask is
        yield below
    except OSError as error:
        if error.errno not in (ELOOP, ENOTDIR):
            raise
        raise ImageInvalid(
            f"write below {'/'.join(('', *parts))} of the root directory",
            answer="a link or a file of the image lies in the way",
        ) from error
    finally:
        os.close(below)
