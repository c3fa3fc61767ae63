from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.drivers.uboot import SCRIPT, image_of, make_offer, packing, script
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader

ENTRY = BootEntry(
    node_id="node-1",
    node_name="n1",
    arch="arm64",
    firmware="uboot",
    boot_driver="uboot",
    macs=("52:54:00:77:00:01",),
    addresses=("10.77.0.100",),
    kind=PublicationKind.AGENT,
    token="t0ken",
    files={"kernel": Path("/k"), "ramdisk": Path("/r")},
    command_line="console=ttyAMA0 provisioner.token=t0ken",
)

SPECIAL = (
    "".join(map(chr, range(0x20, 0x7F))),
    "ends=\\",
    "'",
    r"""a\b \\c '' \' \n dyndbg="file a.c +p" ${x} $y `z` a;b || c && d # e *?[-]""",
)
"""Command lines with every letter that a shell may take for its own."""


def test_a_board_is_given_its_script_and_the_files_that_it_names() -> None:
    offer = make_offer(ENTRY)
    assert offer.boot_files == {Loader.UBOOT: SCRIPT}
    assert set(offer.tftp_files) == {SCRIPT, "kernel", "ramdisk"}
    text = script(ENTRY)
    for name in ("kernel", "ramdisk"):
        assert f"${{serverip}}:{name}" in text
    assert "setenv bootargs 'console=ttyAMA0 provisioner.token=t0ken'" in text


@pytest.mark.parametrize(
    ("arch", "boot_driver", "twin", "fetched"),
    [
        ("arm64", "uboot", Path("/k.gz"), ["kernel.gz", "kernel"]),
        ("arm64", "uboot", None, ["kernel"]),
        ("armhf", "uboot", Path("/k.gz"), ["kernel"]),
        ("arm64", "grub", Path("/k.gz"), ["kernel"]),
    ],
)
def test_a_kernel_that_u_boot_unpacks_is_fetched_gzipped_and_is_there_as_it_is_too(
    arch: str, boot_driver: str, twin: Path | None, fetched: list[str]
) -> None:
    async def twin_of(kernel: Path) -> Path | None:
        assert kernel == Path("/k")
        return twin

    entry = asyncio.run(packing(twin_of)(replace(ENTRY, arch=arch, boot_driver=boot_driver)))
    loads = (f"tftpboot ${{kernel_addr_r}} ${{serverip}}:{name}" for name in fetched)
    assert f"if {' || '.join(loads)}; then" in script(entry)
    assert set(make_offer(entry).tftp_files) == {SCRIPT, "kernel", "ramdisk", *fetched}
    assert make_offer(entry).tftp_files["kernel"] == Path("/k")


@pytest.mark.parametrize(("arch", "command"), [("arm64", "booti"), ("armhf", "bootz")])
def test_a_kernel_is_started_as_its_architecture_wants(arch: str, command: str) -> None:
    assert f"        {command} ${{kernel_addr_r}}" in script(replace(ENTRY, arch=arch))


def test_a_node_with_nothing_published_has_an_address_alone() -> None:
    offer = make_offer(replace(ENTRY, kind=PublicationKind.NOTHING, token="", files={}))
    assert (offer.boot_files, offer.tftp_files, offer.addresses) == ({}, {}, ENTRY.addresses)


def test_a_node_that_boots_its_own_disk_asks_no_network_for_it() -> None:
    text = script(replace(ENTRY, kind=PublicationKind.LOCAL_DISK, files={}))
    assert "${boot_targets}" in text
    assert "tftpboot" not in text


@pytest.mark.parametrize(
    ("kind", "bearer"), [(PublicationKind.AGENT, "t0ken"), (PublicationKind.INSTANCE, "")]
)
def test_only_the_agent_may_report_with_the_token(kind: PublicationKind, bearer: str) -> None:
    assert make_offer(replace(ENTRY, kind=kind)).bearer == bearer


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("quiet rw", "'quiet rw'"),
        (r"a=x\y", r"'a=x'\\'y'"),
        ("a='b'", r"'a='\''b'\'''"),
        ("ends=\\", r"'ends='\\''"),
    ],
)
def test_a_command_line_is_one_word_that_no_shell_of_u_boots_changes(line: str, written: str) -> None:
    assert f"\nsetenv bootargs {written}\n" in script(replace(ENTRY, command_line=line))


@pytest.mark.parametrize("words", ["line\nbreak", "nul\x00", "gr\u00fc\u00df"])
def test_a_command_line_that_is_more_than_a_line_of_ascii_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="n1 by U-Boot"):
        script(replace(ENTRY, command_line=words))


def test_no_secret_is_shown_of_an_offer() -> None:
    assert "t0ken" not in repr(make_offer(ENTRY))


@pytest.mark.parametrize("arch", ["arm64", "armhf"])
def test_the_image_is_the_one_that_u_boots_own_tool_makes(arch: str, tmp_path: Path) -> None:
    made = tmp_path / "script.uimg"
    made.write_bytes(image_of("echo hello\n", arch))
    told = subprocess.run(["mkimage", "-l", str(made)], capture_output=True, text=True, check=True).stdout
    assert "Script" in told
    assert {"arm64": "AArch64", "armhf": "ARM"}[arch] in told
    source = tmp_path / "script"
    source.write_text("echo hello\n")
    its = tmp_path / "its.uimg"
    name = {"arm64": "arm64", "armhf": "arm"}[arch]
    words = ["-A", name, "-C", "none", "-T", "script", "-n", "provisioner", "-d", str(source), str(its)]
    subprocess.run(["mkimage", *words], check=True, capture_output=True, env={"SOURCE_DATE_EPOCH": "0"})
    assert its.read_bytes() == made.read_bytes()
