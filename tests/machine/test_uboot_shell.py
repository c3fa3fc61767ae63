"""What real U-Boot, without a network, makes of what is written for it, and bmsim's shell beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bmsim.devices.boot_shell import Result, run
from bmsim.devices.running import Flow
from provisioner.core.model import PublicationKind
from provisioner.drivers.uboot import image_of, script
from tests.machine.commands import eventually
from tests.unit.drivers.test_uboot import ENTRY, SPECIAL

pytestmark = pytest.mark.machine

ADDRESS = 0x42000000
BOARDS = {
    "arm64": ("qemu-system-aarch64", "cortex-a57", "/usr/lib/u-boot/qemu_arm64/u-boot.bin"),
    "armhf": ("qemu-system-arm", "cortex-a15", "/usr/lib/u-boot/qemu_arm/u-boot.bin"),
}
ENDED = "the script has ended"
LONG = " ".join(["root=UUID=x"] * 166)
WRITTEN = (r"'x\y \\z \'", r'"x\y \\ \" \$z"', r"x\\y\'z\$a\;", r"'a'\\''b", r"\x'\y'\\")
"""In a script. None has a variable: its command would be parsed twice, which the model doesn't do."""


def said(arch: str, commands: Sequence[str], folder: Path) -> str:
    """By a board whose U-Boot runs them, from an image as the provisioner makes it."""
    image, console = folder / "script.uimg", folder / "console.log"
    image.write_bytes(image_of("\n".join((*commands, f"echo; echo {ENDED}", "")), arch))
    qemu, cpu, firmware = BOARDS[arch]
    board = subprocess.Popen(
        [
            *(qemu, "-machine", "virt", "-cpu", cpu, "-m", "256", "-display", "none", "-nic", "none"),
            *("-bios", firmware, "-device", f"loader,file={image},addr={ADDRESS:#x},force-raw=on"),
            *("-chardev", f"stdio,id=line,logfile={console}", "-serial", "chardev:line"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert board.stdin is not None
        for awaited, typed in (("Hit any key", "\n"), ("=> ", f"source {ADDRESS:x}\n"), (f"\n{ENDED}", "")):
            eventually(f"{awaited!r} on the console", partial(shows, console, awaited), 60)
            board.stdin.write(typed.encode())
            board.stdin.flush()
    finally:
        board.kill()
        board.wait()
    return text_of(console)


def shows(console: Path, awaited: str) -> bool:
    return awaited in text_of(console)


def text_of(console: Path) -> str:
    return console.read_text().replace("\r", "") if console.exists() else ""


@pytest.mark.parametrize("arch", BOARDS)
def test_a_kernels_command_line_gets_through_u_boot_as_it_is(arch: str, tmp_path: Path) -> None:
    lines = (*SPECIAL, LONG)
    commands: list[str] = []
    for number, line in enumerate(lines):
        entry = replace(ENTRY, arch=arch, kind=PublicationKind.INSTANCE, command_line=line)
        (command,) = [word for word in script(entry).splitlines() if word.startswith("setenv bootargs ")]
        # printenv prints no more than 512 letters or so.
        shown = 'echo "bootargs=${bootargs}"' if line == LONG else "printenv bootargs"
        commands += (command, f"echo; echo line {number}", shown)
    text = said(arch, commands, tmp_path)
    for number, line in enumerate(lines):
        assert f"\nline {number}\nbootargs={line}\n" in text


def test_bmsims_shell_reads_backslashes_as_u_boots_does(tmp_path: Path) -> None:
    commands = [
        word
        for number, written in enumerate(WRITTEN)
        for word in (f"setenv a {written}", f"echo; echo word {number}", "printenv a")
    ]
    text, words = said("arm64", commands, tmp_path), []

    def execute(given: Sequence[str]) -> Flow[Result]:
        yield from ()
        if given[0] == "setenv":
            words.append(given[2])
        return 0

    assert list(run("\n".join(commands), {}, execute)) == []
    for number, word in enumerate(words):
        assert f"\nword {number}\na={word}\n" in text
    assert len(words) == len(WRITTEN)
