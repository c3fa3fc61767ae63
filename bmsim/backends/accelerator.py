"""KVM or TCG, decided by booting a Linux kernel.

/dev/kvm can be there, accept a virtual machine, run its firmware, and hang the kernel. So a kernel is
booted under a deadline, once per boot of this system.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bmsim.rack.state import alone

KVM = Path("/dev/kvm")
BOOT = Path("/boot")
PROBE_DEADLINE_S = 20.0

REACHED = b"Unable to mount root fs"
"""What a kernel that has nothing to boot says when all of it has come up."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    kvm: bool
    reason: str

    def __str__(self) -> str:
        return f"{'KVM' if self.kvm else 'TCG (emulated processors)'}: {self.reason}"


def accelerator(
    folder: Path | None = None,
    *,
    device: Path = KVM,
    boot: Path = BOOT,
    deadline_s: float = PROBE_DEADLINE_S,
) -> Accelerator:
    """Probed once per boot of this system; the answer is kept in `folder`.

    device: what KVM is reached by; boot: where this system's kernels are; deadline_s: of one that is tried.
    """
    if not device.exists():
        return Accelerator(False, f"there is no {device}")
    folder = folder or _caches() / "bmsim"
    with alone(folder):
        return _known_or_probed(folder / "accelerator.json", boot, deadline_s)


def _known_or_probed(cache: Path, boot: Path, deadline_s: float) -> Accelerator:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        known = json.loads(cache.read_text())
        if known["boot_id"] == boot_id:
            return Accelerator(known["kvm"], known["reason"])
    except (OSError, ValueError, KeyError):
        pass
    kernel = next(_kernels(boot), None)
    if kernel is None:
        return Accelerator(False, f"there is no readable kernel in {boot} to try KVM with")
    reason = why_not(kernel, deadline_s)
    found = Accelerator(reason is None, reason or "a kernel came up under KVM")
    cache.write_text(json.dumps({"boot_id": boot_id, "kvm": found.kvm, "reason": found.reason}))
    return found


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _kernels(boot: Path) -> Iterator[Path]:
    """Kernels of this system first, then those that images and ramdisks were built with."""
    built = _caches() / "provisioner"
    for folder, pattern in ((boot, "vmlinuz*"), (built, "*/*/vmlinuz*"), (built, "*/*/kernel")):
        for path in sorted(folder.glob(pattern)) if folder.is_dir() else ():
            # Hidden folders are builds that go on.
            if path.is_file() and os.access(path, os.R_OK) and not path.parent.name.startswith("."):
                yield path


def why_not(kernel: Path, deadline_s: float, *, accel: str = "kvm", cpu: str = "host") -> str | None:
    """Why a kernel doesn't come up in a machine of its own; None: it does. accel, cpu: as QEMU's options."""
    under = f"a kernel under {accel.upper()}"
    with tempfile.TemporaryDirectory(prefix="bmsim-kvm-") as folder:
        said = Path(folder) / "serial.log"
        command = [
            *("qemu-system-x86_64", "-accel", accel, "-cpu", cpu, "-m", "256", "-display", "none"),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-serial", f"file:{said}"),
            *("-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"),
        ]
        try:
            subprocess.run(command, capture_output=True, timeout=deadline_s, check=False)
        except subprocess.TimeoutExpired:
            return f"{under} did not come up within {deadline_s:g} s"
        except OSError as error:
            return f"QEMU did not start: {error.strerror}"
        if said.exists() and REACHED in said.read_bytes():
            return None
        return f"{under} ended before it had come up"
