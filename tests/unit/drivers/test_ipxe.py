from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.drivers.ipxe import make_offer, script
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, Offer

BASE = "http://10.77.0.10:8080"
LOADERS = {
    Loader.BIOS: Path("/lib/undionly.kpxe"),
    Loader.UEFI: Path("/lib/snponly.efi"),
    Loader.UEFI_HTTP: Path("/lib/snponly.efi"),
}
ENTRY = BootEntry(
    node_id="id-1",
    node_name="n1",
    arch="x86_64",
    firmware="bios",
    macs=("52:54:00:77:00:01",),
    addresses=("10.77.0.100",),
    kind=PublicationKind.AGENT,
    token="t0ken",
    files={"kernel": Path("/k"), "ramdisk": Path("/r")},
    command_line="console=ttyS0 root=UUID=1-2",
)


def test_an_offer_names_a_boot_file_for_each_kind_of_client() -> None:
    offer = make_offer(ENTRY, BASE, LOADERS)
    assert offer.boot_files == {
        Loader.IPXE: f"{BASE}/boot/t0ken/boot.ipxe",
        Loader.BIOS: "undionly.kpxe",
        Loader.UEFI: "snponly.efi",
        Loader.UEFI_HTTP: f"{BASE}/boot/t0ken/snponly.efi",
    }
    assert set(offer.files) == {"boot.ipxe", "kernel", "ramdisk", "snponly.efi"}
    assert set(offer.tftp_files) == {"undionly.kpxe", "snponly.efi"}


@pytest.mark.parametrize(
    ("kind", "bearer"),
    [(PublicationKind.AGENT, "t0ken"), (PublicationKind.INSTANCE, ""), (PublicationKind.LOCAL_DISK, "")],
)
def test_only_an_agent_may_report_with_the_token(kind: PublicationKind, bearer: str) -> None:
    assert make_offer(replace(ENTRY, kind=kind), BASE, LOADERS).bearer == bearer


def test_a_node_with_nothing_published_keeps_its_address_alone() -> None:
    offer = make_offer(replace(ENTRY, kind=PublicationKind.NOTHING, token=""), BASE, LOADERS)
    assert offer == Offer(node_id="id-1", node_name="n1", macs=ENTRY.macs, addresses=ENTRY.addresses)


def test_the_token_is_not_shown() -> None:
    assert "t0ken" not in repr(make_offer(ENTRY, BASE, LOADERS))


def test_the_script_boots_kernel_and_ramdisk_and_tries_again() -> None:
    lines = script(ENTRY, f"{BASE}/boot/t0ken").splitlines()
    assert lines[0] == "#!ipxe"
    kernel = (
        f"kernel --name kernel {BASE}/boot/t0ken/kernel initrd=ramdisk {ENTRY.command_line} || goto failed"
    )
    assert kernel in lines
    assert f"initrd --name ramdisk {BASE}/boot/t0ken/ramdisk || goto failed" in lines
    labels = {line[1:] for line in lines if line.startswith(":")}
    assert {word for line in lines for word in line.split("goto ")[1:]} <= labels | {"restart ||"}
    assert not re.search(r"@[A-Z_]+@", "\n".join(lines))


def test_the_script_for_a_local_disk_names_no_file() -> None:
    text = script(replace(ENTRY, kind=PublicationKind.LOCAL_DISK, command_line=""), BASE)
    assert "sanboot" in text and "exit 1" in text and "http" not in text


@pytest.mark.parametrize(
    "words",
    ["a || shell", "a && shell", "a\nshell", "a ${net0/mac}", "a # b", "# a", "|| shell", "a\tb", "é"],
)
def test_a_command_line_that_ipxe_would_take_for_its_own_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="boot node n1 by iPXE"):
        make_offer(replace(ENTRY, command_line=words), BASE, LOADERS)


@pytest.mark.parametrize("words", ["a=b||c", "quiet", "a=#1", 'a="b c"', "x=$y", "dm=a&&b"])
def test_a_harmless_command_line_passes_unchanged(words: str) -> None:
    assert f"initrd=ramdisk {words} || goto failed" in script(replace(ENTRY, command_line=words), BASE)
