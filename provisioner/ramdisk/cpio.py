"""An initramfs archive (cpio, "newc"), the same byte for byte whenever its content is the same.

Format: kernel, Documentation/driver-api/early-userspace/buffer-format.rst. Written here because cpio(1)
takes inode numbers and times from the disk, and can't make device nodes without root.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

FILE, FOLDER, LINK, CHARACTER_DEVICE = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR


class Archive:
    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes, tuple[int, int]]] = {}

    def file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._put(name, FILE | (0o755 if executable else 0o644), content)

    def link(self, name: str, target: str) -> None:
        self._put(name, LINK | 0o777, target.encode())

    def folder(self, name: str, mode: int = 0o755) -> None:
        self._put(name, FOLDER | mode, b"")

    def device(self, name: str, major: int, minor: int) -> None:
        self._put(name, CHARACTER_DEVICE | 0o600, b"", (major, minor))

    def tree(self, prefix: str, root: Path) -> None:
        """Everything below root."""
        for path in sorted(root.rglob("*")):
            name = f"{prefix}/{path.relative_to(root)}"
            if path.is_symlink():
                self.link(name, str(path.readlink()))
            elif path.is_file():
                self.file(name, path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def content(self) -> bytes:
        """Folders come before what lies in them: sorted by name they do."""
        parts: list[bytes] = []
        for inode, (name, (mode, data, device)) in enumerate(sorted(self._entries.items()), start=1):
            parts += _entry(name, mode, data, device, inode)
        parts += _entry("TRAILER!!!", 0, b"", (0, 0), 0)
        return b"".join(parts)

    def _put(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        parent = name.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.folder(parent)
        self._entries[name] = (mode, content, device)


def _entry(name: str, mode: int, data: bytes, device: tuple[int, int], inode: int) -> Iterator[bytes]:
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    numbers = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    yield header + encoded + b"\0" * (-(len(header) + len(encoded)) % 4)
    yield data + b"\0" * (-len(data) % 4)
