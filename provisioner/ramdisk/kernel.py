"""The kernel and the modules that a rack needs of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from provisioner.ramdisk.errors import RamdiskError
from provisioner.ramdisk.programs import run
from provisioner.ramdisk.recipe import UNUSED_KERNEL_MODULES

INDEXES = (
    "modules.alias.bin",
    "modules.builtin.bin",
    "modules.dep.bin",
    "modules.softdep",
    "modules.symbols.bin",
)


def version(tree: Path) -> str:
    found = sorted(path.name for path in (tree / "lib/modules").iterdir())
    if len(found) != 1:
        raise RamdiskError(f"one kernel was expected in the packages, {len(found)} are there: {found}")
    return found[0]


def image(tree: Path) -> Path:
    return tree / "boot" / f"vmlinuz-{version(tree)}"


def select_modules(tree: Path, target: Path, patterns: Sequence[str]) -> None:
    """Copies the modules that are named so, with what they depend on, and their index, to `target`."""
    release = version(tree)
    source = tree / "lib/modules" / release
    folder = target / "lib/modules" / release
    for name in sorted(chosen(tree, patterns)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(source / name, folder / name)
    run(["depmod", "-b", str(target), release])
    for path in folder.glob("modules.*"):
        if path.name not in INDEXES:
            path.unlink()


def chosen(tree: Path, patterns: Sequence[str]) -> set[str]:
    """The modules that are named so, but those that no rack has, with what they depend on."""
    depends = _dependencies(tree)
    wanted = {name for name in depends if _matches(name.removeprefix("kernel/"), patterns)}
    return wanted | {needed for name in wanted for needed in depends[name]}


def firmware_names(modules: Path) -> list[str]:
    """What the modules below this folder ask for. Each says so in its section .modinfo: firmware=NAME."""
    found: set[bytes] = set()
    for module in modules.rglob("*.ko"):
        found.update(re.findall(rb"(?<=\0)firmware=([^\0]+)\0", module.read_bytes()))
    return sorted(name.decode() for name in found)


def with_dependencies(tree: Path, names: Sequence[str]) -> list[Path]:
    """The files of the modules that this kernel has, each behind those that it depends on."""
    depends = _dependencies(tree)
    ordered: dict[str, None] = {}
    for name in names:
        module = f"kernel/{name}"
        if module in depends:
            ordered |= dict.fromkeys([*reversed(depends[module]), module])
    return [tree / "lib/modules" / version(tree) / name for name in ordered]


def _dependencies(tree: Path) -> dict[str, list[str]]:
    release = version(tree)
    index = tree / "lib/modules" / release / "modules.dep"
    if not index.exists():
        run(["depmod", "-b", str(tree), release])
    lines = (line.partition(":") for line in index.read_text().splitlines())
    return {name: rest.split() for name, _, rest in lines}


def _matches(name: str, patterns: Sequence[str]) -> bool:
    if any(fnmatch(name, pattern) for pattern in UNUSED_KERNEL_MODULES):
        return False
    return any(fnmatch(name, pattern) for pattern in patterns)
