"""Puts the ramdisk's root file system together from the extracted packages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provisioner.ramdisk import elf, python_runtime
from provisioner.ramdisk.cpio import Archive
from provisioner.ramdisk.errors import RamdiskError
from provisioner.ramdisk.recipe import NAMES, PROGRAMS

SCRIPTS = Path(__file__).parent / "scripts"
LIBRARY_FOLDERS = ("lib/*-linux-*", "usr/lib/*-linux-*", "lib", "usr/lib")
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin", "lib": "usr/lib", "lib64": "usr/lib"}
CONSOLE = (5, 1)  # device number of /dev/console, which the kernel opens before /dev is mounted


def assemble(tree: Path, modules: Path) -> Archive:
    archive = Archive()
    for name in ("dev", "proc", "sys", "run", "mnt"):
        archive.folder(name)
    archive.folder("tmp", 0o1777)
    for name, target in MERGED.items():
        archive.link(name, target)
    archive.device("dev/console", *CONSOLE)
    for script in sorted(SCRIPTS.glob("*.sh")):
        name = "init" if script.stem == "init" else f"usr/bin/{script.stem}"
        archive.file(name, script.read_bytes(), executable=True)
    programs = [_busybox(tree), python_runtime.interpreter(tree), *(tree / program for program in PROGRAMS)]
    for program in programs:
        if not program.exists():
            raise RamdiskError(f"the packages have no {program.relative_to(tree)}: has a package been split?")
        archive.file(f"usr/bin/{program.name}", program.read_bytes(), executable=True)
        for other in NAMES.get(program.name, ()):
            archive.link(f"usr/bin/{other}", program.name)
    archive.link("usr/bin/python3", python_runtime.interpreter(tree).name)
    extensions = python_runtime.add_modules(tree, archive)
    _add_libraries(tree, archive, [*programs, *extensions])
    archive.tree("usr", modules)
    _add_firmware(tree, archive)
    return archive


def _busybox(tree: Path) -> Path:
    return tree / "bin/busybox"


def _add_libraries(tree: Path, archive: Archive, files: Iterable[Path]) -> None:
    """The shared libraries of the programs, and theirs."""
    waiting = list(files)
    seen: set[str] = set()
    while waiting:
        file = waiting.pop()
        needs = elf.needs(file)
        names = [*needs.libraries, *([Path(needs.interpreter).name] if needs.interpreter else [])]
        for name in names:
            if name in seen:
                continue
            seen.add(name)
            library = _find_library(tree, name, file)
            archive.file(f"usr/lib/{name}", library.read_bytes(), executable=True)
            waiting.append(library)


def _find_library(tree: Path, name: str, needed_by: Path) -> Path:
    for pattern in LIBRARY_FOLDERS:
        for folder in sorted(tree.glob(pattern)):
            if (folder / name).exists():
                return (folder / name).resolve()
    raise RamdiskError(f"{needed_by.name} needs {name}, which none of the packages has")


def _add_firmware(tree: Path, archive: Archive) -> None:
    folder = tree / "lib/firmware"
    if folder.exists():
        archive.tree("usr/lib/firmware", folder)
