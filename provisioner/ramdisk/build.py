"""Builds the deploy ramdisk, once for each content: recipe, agent and package versions."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import provisioner
from provisioner.ramdisk import kernel as kernels
from provisioner.ramdisk.errors import RamdiskError
from provisioner.ramdisk.packages import Apt, Package
from provisioner.ramdisk.programs import run
from provisioner.ramdisk.recipe import ARCHITECTURES, FIRMWARE_PACKAGES, PACKAGES, Architecture, Kernel
from provisioner.ramdisk.root_file_system import assemble_usr, early_archive

VERSIONS_VALID_S = 24 * 3600.0

KEPT_BUILDS = 3
SQUASHFS = (
    *("-comp", "zstd", "-Xcompression-level", "15", "-b", "128K", "-all-root", "-noappend", "-no-xattrs"),
    *("-no-progress", "-quiet", "-all-time", "0", "-mkfs-time", "0"),
)
LOADER = "loader.efi"
SOURCES = ("agent", "core/image_digest.py", "ramdisk")


@dataclass(frozen=True, slots=True)
class Ramdisk:
    kernel: Path
    initrd: Path
    digest: str  # of what it was built from
    loader: Path | None = None  # what UEFI fetches before them, where that isn't iPXE


def default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "provisioner" / "ramdisk"


def builds(cache: Path, arch: str, kernel: Kernel) -> Path:
    """The folder that has a folder for each build. With package lists of its own: they stay those by which
    its versions were found."""
    return cache / (arch if kernel == "hardware" else f"{arch}-{kernel}")


def build(
    arch: str,
    cache: Path,
    say: Callable[[str], None] = lambda text: None,
    *,
    kernel: Kernel = "hardware",
    versions_valid_s: float = VERSIONS_VALID_S,
) -> Ramdisk:
    """The ramdisk of a Debian architecture; from the cache if nothing it is made of has changed.

    versions_valid_s: for so long the archive is not asked for newer packages

    Raises RamdiskError.
    """
    if arch not in ARCHITECTURES:
        raise RamdiskError(f"no ramdisk is known for {arch!r}; there are: {', '.join(ARCHITECTURES)}")
    there_are = ARCHITECTURES[arch].kernels
    if kernel not in there_are:
        raise RamdiskError(f"no {kernel!r} kernel is known for {arch}; there are: {', '.join(there_are)}")
    folder = builds(cache, arch, kernel)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            return _build(ARCHITECTURES[arch], kernel, folder, versions_valid_s, say)
    except OSError as error:
        raise RamdiskError(
            f"build the ramdisk in {folder}: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. "
            "Name a folder by --cache that can be written, on a disk with some GB free"
        ) from error


def _build(
    arch: Architecture, kernel: Kernel, folder: Path, versions_valid_s: float, say: Callable[[str], None]
) -> Ramdisk:
    apt = Apt(folder / "apt", arch.name)
    names, packages = _versions(apt, arch, kernel, folder / "packages.json", versions_valid_s, say)
    digest = _digest(arch, packages)
    target = folder / digest[:32]
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as work:
            _make(Path(work), arch, arch.modules(kernel), apt, names, packages, say)
            (Path(work) / "done").rename(target)
    target.touch()
    _prune(folder, keep=target)
    return found_in(target, digest)


def found_in(folder: Path, digest: str) -> Ramdisk:
    """What a build has left."""
    loader = folder / LOADER
    return Ramdisk(folder / "vmlinuz", folder / "initrd", digest, loader if loader.exists() else None)


def _make(
    work: Path,
    arch: Architecture,
    modules: Sequence[str],
    apt: Apt,
    names: list[str],
    packages: list[Package],
    say: Callable[[str], None],
) -> None:
    say(f"fetching {len(packages)} packages")
    files = apt.download(names, packages)
    say("unpacking them")
    tree, usr, done = work / "tree", work / "usr", work / "done"
    for path in (tree, usr, done):
        path.mkdir()
    for file in files:
        run(["dpkg-deb", "--extract", str(file), str(tree)])
    say("choosing drivers, programs and Python modules")
    assemble_usr(tree, usr, modules)
    say("compressing")
    image = work / "usr.squashfs"
    run(["mksquashfs", str(usr), str(image), *SQUASHFS], env={})
    (done / "initrd").write_bytes(early_archive(tree, image.read_bytes()).content())
    shutil.copyfile(kernels.image(tree), done / "vmlinuz")
    if arch.loader:
        shutil.copyfile(tree / arch.loader, done / LOADER)


def _versions(
    apt: Apt, arch: Architecture, kernel: Kernel, record: Path, valid_s: float, say: Callable[[str], None]
) -> tuple[list[str], list[Package]]:
    """What to install, and the exact package files that it comes to; remembered for so long."""
    wanted = [*PACKAGES, arch.kernels[kernel], *filter(None, (arch.loader_package,))]
    if record.exists() and time.time() - record.stat().st_mtime < valid_s:
        known = json.loads(record.read_text())
        if known["wanted"] == wanted:
            return known["names"], [Package(*entry) for entry in known["packages"]]
    say("asking the package archive for current versions")
    apt.update(say)
    names = [*wanted, *apt.known(FIRMWARE_PACKAGES)]
    packages = apt.resolve(names)
    entries = [(package.file, package.checksum) for package in packages]
    partial = record.with_suffix(".new")
    partial.write_text(json.dumps({"wanted": wanted, "names": names, "packages": entries}))
    partial.replace(record)
    return names, packages


def _digest(arch: Architecture, packages: list[Package]) -> str:
    digest = hashlib.sha256(f"{arch}".encode())
    for package in packages:
        digest.update(f"{package.file} {package.checksum}\n".encode())
    root = Path(provisioner.__file__).parent
    for source in SOURCES:
        found = sorted((root / source).rglob("*")) if (root / source).is_dir() else [root / source]
        for path in found:
            if path.suffix in (".py", ".sh"):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()


def _prune(folder: Path, keep: Path) -> None:
    builds = [path for path in folder.iterdir() if (path / "initrd").exists()]
    builds.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in builds[KEPT_BUILDS:]:
        if path != keep:
            shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One build at a time; a second one waits and then finds the first one's work."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
