"""Builds the deploy ramdisk from Debian packages."""

from provisioner.ramdisk.build import Ramdisk, build, default_cache
from provisioner.ramdisk.errors import RamdiskError

__all__ = ["Ramdisk", "RamdiskError", "build", "default_cache"]
