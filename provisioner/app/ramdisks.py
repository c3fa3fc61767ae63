"""Which deploy ramdisk an architecture boots."""

from __future__ import annotations

from pathlib import Path

from provisioner.compute.edges import DeployRamdisk
from provisioner.config.settings import Settings
from provisioner.core.errors import HostLacks
from provisioner.core.extra_specs import DEBIAN_NAMES
from provisioner.ramdisk import Ramdisk, default_cache
from provisioner.ramdisk.newest import newest
from provisioner.ramdisk.recipe import ARCHITECTURES, Kernel


class Ramdisks:
    """Those of the configuration, else what was built last; looked up at each use, so that a new one
    needs no restart."""

    def __init__(self, settings: Settings, cache: Path | None = None) -> None:
        self._configured = settings.ramdisks
        self._in_memory = settings.rack == "fake"
        self._kernel = settings.ramdisk_kernel
        self._cache = cache or default_cache()

    def __call__(self, arch: str) -> DeployRamdisk:
        """Raises HostLacks when there is none."""
        if self._in_memory:
            return DeployRamdisk(kernel=Path("/dev/null"), ramdisk=Path("/dev/null"), digest="")
        given = self._configured.get(arch)  # type: ignore[call-overload]
        if given is not None:
            return DeployRamdisk(kernel=given.kernel, ramdisk=given.ramdisk, digest="")
        built = self._newest(arch)
        if built is None:
            raise self._missing("deploy ramdisk", arch)
        return DeployRamdisk(kernel=built.kernel, ramdisk=built.initrd, digest=built.digest)

    def loader(self, arch: str) -> Path:
        """What UEFI fetches first where there is no iPXE. Raises HostLacks when there is none."""
        given = self._configured.get(arch)  # type: ignore[call-overload]
        found = given if given is not None else self._newest(arch)
        if found is None or found.loader is None:
            raise self._missing("boot loader", arch)
        return Path(found.loader)

    def _newest(self, arch: str) -> Ramdisk | None:
        name = DEBIAN_NAMES.get(arch, arch)
        return newest(name, self._cache, self._kernel_of(name))

    def _kernel_of(self, name: str) -> Kernel:
        known = ARCHITECTURES.get(name)
        return known.kernel(self._kernel) if known is not None else "hardware"

    def _missing(self, what: str, arch: str) -> HostLacks:
        given, name = arch in self._configured, DEBIAN_NAMES.get(arch, arch)
        kernel = self._kernel_of(name)
        return HostLacks(
            f"find the {what} for {arch}",
            answer="ramdisks of the configuration don't name one" if given else f"none in {self._cache}",
            advice=f"Build it: provisioner ramdisk build --arch {name}"
            + (f" --kernel {kernel}" if kernel != "hardware" else ""),
        )
