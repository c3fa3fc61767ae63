"""Puts the ramdisk's root file system together from the extracted packages.

Nearly all of it is /usr, and that is a squashfs: only what is used gets decompressed. Around it lies
what mounts it (early/), in an archive that the kernel unpacks whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from provisioner.ramdisk import elf, kernel, python_runtime
from provisioner.ramdisk.cpio import Archive
from provisioner.ramdisk.errors import RamdiskError
from provisioner.ramdisk.recipe import BUSYBOX, EARLY_MODULES, NAMES, PROGRAMS

SCRIPTS = Path(__file__).parent / "scripts"
INIT = "init"
LIBRARY_FOLDERS = ("lib/*-linux-*", "usr/lib/*-linux-*", "lib", "usr/lib")
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib"}
MOUNT_POINTS = ("dev", "etc", "proc", "run", "sys", "usr")
CONSOLE = (5, 1)  # device number of /dev/console, which the kernel opens before /dev is mounted


def assemble_usr(tree: Path, usr: Path, modules: Sequence[str]) -> None:
    """Everything but what mounts it: programs, libraries, Python, the agent, drivers and firmware.

    modules: patterns of the kernel's that it needs
    """
    kernel.select_modules(tree, usr, modules)
    for script in sorted(SCRIPTS.glob("*.sh")):
        if script.stem != INIT:
            _install(script, usr / "bin" / script.stem)
    python = python_runtime.interpreter(tree)
    programs = [tree / BUSYBOX, python, *(tree / program for program in PROGRAMS)]
    for program in programs:
        if not program.exists():
            raise RamdiskError(f"the packages have no {program.relative_to(tree)}: has a package been split?")
        _install(program, usr / "bin" / program.name)
        for other in NAMES.get(program.name, ()):
            (usr / "bin" / other).symlink_to(program.name)
    (usr / "bin/python3").symlink_to(python.name)
    extensions = python_runtime.install_modules(tree, usr)
    _install_libraries(tree, usr, [*programs, *extensions])
    _install_firmware(tree, usr)


def early_archive(tree: Path, usr_image: bytes) -> Archive:
    archive = Archive()
    for name in MOUNT_POINTS:
        archive.folder(name)
    archive.folder("tmp", 0o1777)
    for name, target in MERGED.items():
        archive.link(name, target)
    archive.device("dev/console", *CONSOLE)
    archive.file("init", (SCRIPTS / f"{INIT}.sh").read_bytes(), executable=True)
    archive.file("early/busybox", (tree / BUSYBOX).read_bytes(), executable=True)
    for number, module in enumerate(kernel.with_dependencies(tree, EARLY_MODULES)):
        archive.file(f"early/{number:02}-{module.name}", module.read_bytes())
    archive.file("usr.squashfs", usr_image)
    return archive


def _install(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def _install_firmware(tree: Path, usr: Path) -> None:
    """Of what the firmware packages have, that which the chosen drivers ask for; a name may be a pattern."""
    source = tree / "lib/firmware"
    for name in kernel.firmware_names(usr / "lib/modules"):
        for file in sorted(source.glob(name)):
            _install(file.resolve(), usr / "lib/firmware" / file.relative_to(source))


def _install_libraries(tree: Path, usr: Path, files: Iterable[Path]) -> None:
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
            _install(library, usr / "lib" / name)
            waiting.append(library)


def _find_library(tree: Path, name: str, needed_by: Path) -> Path:
    for pattern in LIBRARY_FOLDERS:
        for folder in sorted(tree.glob(pattern)):
            if (folder / name).exists():
                return (folder / name).resolve()
    raise RamdiskError(f"{needed_by.name} needs {name}, which none of the packages has")
