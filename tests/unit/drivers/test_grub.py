from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.core.errors import InvalidInput
from provisioner.core.model import PublicationKind
from provisioner.drivers.grub import LOADER, SCRIPTS, make_offer, script
from provisioner.protocols.boot import BootEntry
from provisioner.protocols.netboot import Loader, Offer

ENTRY = BootEntry(
    node_id="node-1",
    node_name="n1",
    arch="arm64",
    firmware="uefi",
    boot_driver="grub",
    macs=("52:54:00:77:00:01",),
    addresses=("10.77.0.100",),
    kind=PublicationKind.AGENT,
    token="t0ken",
    files={"kernel": Path("/k"), "ramdisk": Path("/r")},
    command_line="console=ttyAMA0 a=b;c$d provisioner.token=t0ken",
)


def offered(entry: BootEntry) -> Offer:
    return make_offer(entry, lambda arch: Path(f"/loader-of-{arch}"))


def test_a_node_is_given_grub_its_configuration_and_the_files_that_this_names() -> None:
    offer = offered(ENTRY)
    assert offer.boot_files == {Loader.UEFI_ARM64: LOADER}
    assert offer.tftp_files[LOADER] == Path("/loader-of-arm64")
    text = script(ENTRY).encode()
    assert [offer.tftp_files[name] for name in SCRIPTS] == [text, text]
    for name in ("kernel", "ramdisk"):
        assert name in offer.tftp_files
        assert f" /{name}".encode() in text


@pytest.mark.parametrize("kind", [PublicationKind.AGENT, PublicationKind.LOCAL_DISK])
def test_a_configuration_is_what_grubs_own_parser_takes(kind: PublicationKind, tmp_path: Path) -> None:
    path = tmp_path / "grub.cfg"
    path.write_text(script(replace(ENTRY, kind=kind)))
    subprocess.run(["grub-script-check", path], check=True)


def test_each_word_reaches_the_kernel_as_it_is() -> None:
    text = script(ENTRY)
    assert "/kernel 'console=ttyAMA0' 'a=b;c$d' 'provisioner.token=t0ken';" in text


def test_a_node_with_nothing_published_has_an_address_alone() -> None:
    offer = offered(replace(ENTRY, kind=PublicationKind.NOTHING, token="", files={}))
    assert (offer.boot_files, offer.tftp_files, offer.addresses) == ({}, {}, ENTRY.addresses)


def test_a_node_that_boots_its_own_disk_asks_no_network_for_it() -> None:
    text = script(replace(ENTRY, kind=PublicationKind.LOCAL_DISK, files={}))
    assert "chainloader /EFI/BOOT/BOOTAA64.EFI" in text
    assert "/kernel" not in text


@pytest.mark.parametrize(
    ("kind", "bearer"), [(PublicationKind.AGENT, "t0ken"), (PublicationKind.INSTANCE, "")]
)
def test_only_the_agent_may_report_with_the_token(kind: PublicationKind, bearer: str) -> None:
    assert offered(replace(ENTRY, kind=kind)).bearer == bearer


@pytest.mark.parametrize("words", ["quote='", 'other="', "back\\slash", "line\nbreak", "gr\u00fc\u00df"])
def test_a_command_line_that_grub_would_change_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="n1 by GRUB"):
        script(replace(ENTRY, command_line=words))
