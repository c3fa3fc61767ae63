"""One emulated machine without a rack: its disks, a port that leads to its SSH, its console in a file."""

import contextlib
import ctypes
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
PHONE_HOME_HOST = "10.0.2.2"
"""Where the machine finds the loopback of this system: the network is QEMU's own."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class LoneMachine:
    process: subprocess.Popen[bytes]
    ssh_port: int
    console: Path

    def said(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""


def direct_kernel(kernel: str, ramdisk: str, command_line: str) -> list[str]:
    return ["-kernel", kernel, "-initrd", ramdisk, "-append", command_line]


def uefi_firmware(folder: Path) -> list[str]:
    variables = folder / "efivars.fd"
    variables.write_bytes(OVMF_VARS.read_bytes())
    pflash = "if=pflash,format=raw,unit"
    return ["-drive", f"{pflash}=0,readonly=on,file={OVMF_CODE}", "-drive", f"{pflash}=1,file={variables}"]


@contextlib.contextmanager
def running(folder: Path, boot: Sequence[str], disks: Sequence[tuple[Path, str]]) -> Iterator[LoneMachine]:
    """Power on with the disks (path and format); power off on the way out."""
    ssh_port = free_port()
    console = folder / "console.log"
    drives = [
        word
        for path, fmt in disks
        for word in ("-drive", f"file={path},format={fmt},if=virtio,discard=unmap")
    ]
    argv = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024"),
        *("-serial", f"file:{console}", "-device", "virtio-rng-pci"),
        *("-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"),
        *("-device", "virtio-net-pci,netdev=net0,romfile="),
        *drives,
        *boot,
    ]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
    try:
        yield LoneMachine(process, ssh_port, console)
    finally:
        process.kill()
        process.wait()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
