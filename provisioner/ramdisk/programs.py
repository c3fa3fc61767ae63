"""Runs the programs that the build needs, and says which package is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from provisioner.ramdisk.errors import RamdiskError

PACKAGE_OF = {
    "apt-get": "apt",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "mksquashfs": "squashfs-tools",
}
TIMEOUT_S = 1200.0
WORDS_SHOWN_CHARS = 1500


def run(argv: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
    """The program's output. Raises RamdiskError with its own words."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **(env or {})},
        )
    except FileNotFoundError as error:
        package = PACKAGE_OF.get(argv[0], argv[0])
        raise RamdiskError(f"{argv[0]} isn't installed: apt-get install {package}") from error
    except subprocess.TimeoutExpired as error:
        raise RamdiskError(f"{argv[0]} didn't end within {TIMEOUT_S:.0f} s") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-WORDS_SHOWN_CHARS:]
        raise RamdiskError(f"{' '.join(argv[:3])} … ended with status {done.returncode}: {words}")
    return done.stdout
