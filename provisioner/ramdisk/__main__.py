"""python -m provisioner.ramdisk --arch amd64 [--kernel hardware|cloud] [--cache FOLDER]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from provisioner.ramdisk import RamdiskError, build, default_cache
from provisioner.ramdisk.recipe import ARCHITECTURES, Kernel


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m provisioner.ramdisk", description=__doc__)
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), default="amd64")
    parser.add_argument("--kernel", choices=get_args(Kernel), default="hardware")
    parser.add_argument("--cache", type=Path, default=default_cache())
    options = parser.parse_args()
    try:
        ramdisk = build(
            options.arch, options.cache, lambda text: print(text, file=sys.stderr), kernel=options.kernel
        )
    except RamdiskError as error:
        print(error, file=sys.stderr)
        return 1
    for path in (ramdisk.kernel, ramdisk.initrd):
        print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")
    print(f"digest {ramdisk.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
