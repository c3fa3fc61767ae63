"""The deploy ramdisks that a rack's machines boot."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

from provisioner.core.extra_specs import DEBIAN_NAMES
from provisioner.ramdisk import build, default_cache
from provisioner.ramdisk.recipe import ARCHITECTURES, Kernel


def make_ramdisks(architectures: Iterable[str], kernel: Kernel) -> None:
    """Builds those of which the cache has none, or another agent's, which takes minutes. What it has isn't
    held against the archive: racks need no newest packages.

    architectures: of nodes; a board without a deploy ramdisk needs none. Raises RamdiskError."""
    for arch in sorted(set(architectures)):
        name = DEBIAN_NAMES.get(arch, arch)
        if (known := ARCHITECTURES.get(name)) is not None:
            told = f"deploy ramdisk for {name}"
            build(
                *(name, default_cache(), lambda text, told=told: print(f"{told}: {text}", file=sys.stderr)),
                kernel=known.kernel(kernel),
                versions_valid_s=math.inf,
            )
